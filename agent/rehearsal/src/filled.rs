//! Maps and sets filled entry by entry. `collect` sorts first, by a sort of its own for each type: 4 kB of the agent each,
//! for what has an entry for each instance.

/// A collection of `entries`, each put in as it comes.
pub(crate) fn filled<C: Default + Extend<T>, T>(entries: impl IntoIterator<Item = T>) -> C {
    let mut collection = C::default();
    collection.extend(entries);
    collection
}
