//! The ledger: what the core must remember, on disk before it is acted upon.
//!
//! One JSON document: a format number, a checksum, and a body that says whose memory it is, from which boot and when it
//! was written. A document that is not whole is set aside and the generation before it is used; the memory of another
//! instance, which came with a re-attached disk, is not used at all.

mod document;
mod store;

use std::fmt;
use std::marker::PhantomData;

use pitcrew_core::ids::{BootId, InstanceId};
use pitcrew_core::time::Now;
use serde::Serialize;
use serde::de::DeserializeOwned;

use document::Flaw;
pub use store::{DirStore, Document, MemoryStore, Slot, Store, StoreError};

/// Writes one instance's memory, generation after generation.
pub struct Ledger<M> {
    store: Box<dyn Store>,
    instance: InstanceId,
    boot: BootId,
    generation: u64,
    memory: PhantomData<fn(M) -> M>,
}

/// What the ledger held when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened<M> {
    /// `None`: nothing that this instance remembers.
    pub remembered: Option<Remembered<M>>,
    /// What an operator should know of how it came to that.
    pub findings: Vec<Finding>,
}

/// A memory, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered<M> {
    /// The memory itself.
    pub memory: M,
    /// The boot that its instants belong to; in another boot they say nothing.
    pub boot: BootId,
    /// When it was written.
    pub written: Now,
    /// Counts documents; one more with each save.
    pub generation: u64,
}

/// Something odd about a document; its text is a sentence for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It was not whole, and was set aside.
    Damaged {
        /// What is wrong with it.
        how: String,
        /// The name that it has now.
        kept_as: String,
    },
    /// Another version of this program wrote it in a format that this one does not read; it was set aside.
    OtherFormat {
        /// The format's number.
        format: u32,
        /// The name that it has now.
        kept_as: String,
    },
    /// It is another instance's memory.
    OtherInstance {
        /// Whose.
        instance: InstanceId,
    },
}

/// The ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The memory has no JSON form.
    #[error("the memory cannot be written as JSON")]
    Encode(#[source] serde_json::Error),
}

/// What was last written in this `boot`, before anybody knows which instance this is; `None` where nothing was.
pub fn written_in<M: DeserializeOwned>(store: &mut dyn Store, boot: &BootId) -> Option<M> {
    let documents = store.load().ok()?;
    documents.iter().find_map(|document| document::of_boot(&document.bytes, boot))
}

impl<M: Serialize + DeserializeOwned> Ledger<M> {
    /// Opens the ledger of `instance` in this `boot`, and reads what it holds. Fails where the store cannot be read, or
    /// where a damaged document cannot be set aside; never because of what a document says.
    pub fn open(
        mut store: Box<dyn Store>,
        instance: InstanceId,
        boot: BootId,
    ) -> Result<(Self, Opened<M>), LedgerError> {
        let mut findings = Vec::new();
        let mut remembered = None;
        for document in store.load()? {
            match document::read(&document.bytes, &instance) {
                Ok(memory) => {
                    remembered = Some(memory);
                    break;
                }
                Err(Flaw::OtherInstance(instance)) => {
                    // Whatever is older is no better.
                    findings.push(Finding::OtherInstance { instance });
                    break;
                }
                Err(Flaw::Damaged(how)) => {
                    let kept_as = store.set_aside(document.slot)?;
                    findings.push(Finding::Damaged { how, kept_as });
                }
                Err(Flaw::OtherFormat(format)) => {
                    let kept_as = store.set_aside(document.slot)?;
                    findings.push(Finding::OtherFormat { format, kept_as });
                }
            }
        }
        let ledger = Self {
            store,
            instance,
            boot,
            generation: remembered.as_ref().map_or(0, |remembered: &Remembered<M>| remembered.generation),
            memory: PhantomData,
        };
        let opened = Opened { remembered, findings };
        Ok((ledger, opened))
    }

    /// Writes the next generation. Once this returns `Ok`, a crash or a power failure does not lose it.
    pub fn save(&mut self, now: Now, memory: &M) -> Result<(), LedgerError> {
        let body = document::Body {
            generation: self.generation + 1,
            instance: self.instance.clone(),
            boot: self.boot.clone(),
            written: now,
            memory,
        };
        let document = document::write(&body).map_err(LedgerError::Encode)?;
        self.store.save(&document)?;
        self.generation += 1;
        Ok(())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Damaged { how, kept_as } => write!(
                f,
                "a ledger document was damaged ({how}) and is kept as `{kept_as}`; what an older one says is used"
            ),
            Finding::OtherFormat { format, kept_as } => write!(
                f,
                "a ledger document has format {format}, which this version (format {}) does not read; it is kept as \
                 `{kept_as}`: check that this instance is in every target group it belongs to",
                document::FORMAT
            ),
            Finding::OtherInstance { instance } => {
                write!(f, "the ledger is of instance `{instance}`, whose disk this was; it is not used")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pitcrew_core::time::{Instant, WallTime};

    use super::*;

    type Notes = BTreeMap<String, u32>;

    fn notes(value: u32) -> Notes {
        [("targets".to_owned(), value), ("leases".to_owned(), 2)].into()
    }

    fn now(seconds: u64) -> Now {
        Now { at: Instant(seconds * 1000), wall: WallTime(1_800_000_000_000 + seconds * 1000) }
    }

    fn open(store: &MemoryStore, instance: &str) -> (Ledger<Notes>, Opened<Notes>) {
        Ledger::open(Box::new(store.clone()), instance.into(), "boot-1".into()).unwrap()
    }

    fn memory(opened: &Opened<Notes>) -> Option<&Notes> {
        opened.remembered.as_ref().map(|found| &found.memory)
    }

    /// Two generations, 7 and then 8, in a fresh store.
    fn two_generations() -> MemoryStore {
        let store = MemoryStore::default();
        let (mut ledger, opened) = open(&store, "i-1");
        assert_eq!(opened, Opened { remembered: None, findings: vec![] });
        ledger.save(now(1), &notes(7)).unwrap();
        ledger.save(now(2), &notes(8)).unwrap();
        store
    }

    #[test]
    fn what_was_saved_last_is_remembered_with_its_boot_and_time() {
        let store = two_generations();
        let (_, opened) = open(&store, "i-1");
        assert_eq!(opened.findings, vec![]);
        let expected = Remembered { memory: notes(8), boot: "boot-1".into(), written: now(2), generation: 2 };
        assert_eq!(opened.remembered, Some(expected));
    }

    #[test]
    fn what_was_written_in_this_boot_is_found_without_knowing_the_instance() {
        let mut store = two_generations();
        assert_eq!(written_in(&mut store, &"boot-1".into()), Some(notes(8)));
        assert_eq!(written_in::<Notes>(&mut store, &"boot-2".into()), None);
    }

    #[test]
    fn generations_go_on_after_a_restart() {
        let store = two_generations();
        let (mut ledger, _) = open(&store, "i-1");
        ledger.save(now(3), &notes(9)).unwrap();
        let (_, opened) = open(&store, "i-1");
        assert_eq!(opened.remembered.unwrap().generation, 3);
    }

    #[test]
    fn a_document_torn_at_any_byte_gives_way_to_the_generation_before() {
        let whole = two_generations().document(Slot::Current).unwrap();
        for length in 0..whole.len() {
            let store = two_generations();
            store.put(Slot::Current, &whole[..length]);
            let (_, opened) = open(&store, "i-1");
            if length == whole.len() - 1 {
                // Only the line's end is missing.
                assert_eq!(memory(&opened), Some(&notes(8)));
                continue;
            }
            assert_eq!(memory(&opened), Some(&notes(7)), "torn after {length} bytes");
            assert!(
                matches!(&opened.findings[..], [Finding::Damaged { .. }]),
                "torn after {length} bytes: {:?}",
                opened.findings
            );
            assert_eq!(store.document(Slot::Current), None, "set aside");
        }
    }

    #[test]
    fn a_flipped_bit_never_makes_another_memory() {
        let whole = two_generations().document(Slot::Current).unwrap();
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                let store = two_generations();
                store.put(Slot::Current, &flipped);
                let (_, opened) = open(&store, "i-1");
                let memory = memory(&opened);
                assert!(memory == Some(&notes(8)) || memory == Some(&notes(7)), "bit {bit} of byte {at}: {opened:?}");
            }
        }
    }

    #[test]
    fn garbage_in_both_places_is_an_empty_memory_and_is_kept() {
        let store = two_generations();
        store.put(Slot::Current, b"\0\0\0\0");
        store.put(Slot::Previous, b"{}");
        let (mut ledger, opened) = open(&store, "i-1");
        assert_eq!(memory(&opened), None);
        assert_eq!(opened.findings.len(), 2);
        assert_eq!(store.set_aside_documents(), [b"\0\0\0\0".to_vec(), b"{}".to_vec()]);
        ledger.save(now(5), &notes(1)).unwrap();
        let (_, opened) = open(&store, "i-1");
        assert_eq!(memory(&opened), Some(&notes(1)));
    }

    #[test]
    fn another_instances_memory_is_not_used_and_nor_is_what_lies_behind_it() {
        let store = two_generations();
        let (mut other, opened) = open(&store, "i-2");
        assert_eq!(memory(&opened), None);
        let of = Finding::OtherInstance { instance: "i-1".into() };
        assert_eq!(opened.findings, [of]);
        other.save(now(9), &notes(3)).unwrap();
        let (_, opened) = open(&store, "i-1");
        assert_eq!(memory(&opened), None, "the previous slot holds i-1's, long out of date");
    }

    #[test]
    fn a_newer_format_is_said_and_kept() {
        let store = two_generations();
        store.put(Slot::Current, br#"{"pitcrew_ledger":2,"zstd":"KLUv/Q=="}"#);
        let (_, opened) = open(&store, "i-1");
        assert_eq!(memory(&opened), Some(&notes(7)));
        let said = opened.findings[0].to_string();
        assert!(said.contains("format 2") && said.contains("(format 1)"), "{said}");
    }

    #[test]
    fn a_memory_of_another_shape_is_damage_that_names_the_field() {
        let store = MemoryStore::default();
        let (mut ledger, _) = Ledger::<Vec<u8>>::open(Box::new(store.clone()), "i-1".into(), "boot-1".into()).unwrap();
        ledger.save(now(1), &vec![1]).unwrap();
        let (_, opened) = open(&store, "i-1");
        assert_eq!(memory(&opened), None);
        assert!(opened.findings[0].to_string().contains("expected a map"), "{opened:?}");
    }

    #[test]
    fn a_failed_save_leaves_the_last_one() {
        let store = two_generations();
        let (mut ledger, _) = open(&store, "i-1");
        store.fail_saves(true);
        ledger.save(now(3), &notes(9)).unwrap_err();
        store.fail_saves(false);
        let (_, opened) = open(&store, "i-1");
        assert_eq!(memory(&opened), Some(&notes(8)));
        ledger.save(now(4), &notes(10)).unwrap();
        let (_, opened) = open(&store, "i-1");
        assert_eq!(opened.remembered.unwrap().generation, 3);
    }
}
