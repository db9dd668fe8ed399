//! Finds Elastigroups in JSON and reads them, leniently: a value of a wrong type is remembered, not fatal.

mod api;
mod cursor;
mod terraform;

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::model::Group;
use super::{Lines, NoGroup};
use cursor::Cursor;

pub(super) fn groups(text: &str, file: &str) -> Result<Vec<Group>, NoGroup> {
    let file = file.to_owned();
    let text = text.trim_start_matches('\u{feff}');
    if text.starts_with("PK\u{3}\u{4}") {
        return Err(NoGroup::BinaryPlan { file });
    }
    let value: Value = serde_json::from_str(text)
        .map_err(|error| NoGroup::NotJson { file: file.clone(), message: error.to_string() })?;
    let root = Cursor::root(&value);
    let groups =
        if root.get("planned_values").is_some() || root.get("values").is_some_and(|v| v.get("root_module").is_some()) {
            terraform::groups(&root)
        } else {
            api::groups(&root)
        };
    if groups.is_empty() { Err(NoGroup::OtherJson { file }) } else { Ok(groups) }
}

/// The line of the value at each pointer, counted from 1.
pub(super) fn lines<'a>(text: &str, pointers: impl Iterator<Item = &'a str>) -> Lines {
    pointers.filter_map(|pointer| Some((pointer.to_owned(), line(text, pointer)?))).collect()
}

/// Goes down the text itself, so that the line is that of the value in the file.
fn line(text: &str, pointer: &str) -> Option<usize> {
    let mut at: &str = text.trim_start_matches('\u{feff}');
    for word in pointer.split('/').skip(1) {
        let word = word.replace("~1", "/").replace("~0", "~");
        at = match serde_json::from_str::<BTreeMap<String, &RawValue>>(at) {
            Ok(members) => members.get(&word)?.get(),
            Err(_) => serde_json::from_str::<Vec<&RawValue>>(at).ok()?.get(word.parse::<usize>().ok()?)?.get(),
        };
    }
    // `at` borrows from `text`, so the distance of their starts is its offset.
    let offset = (at.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    let before = text.get(..offset)?;
    let leading = at.len() - at.trim_start().len();
    Some(1 + before.matches('\n').count() + at.get(..leading)?.matches('\n').count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_leads_to_its_line() {
        let text = "{\n  \"a\": [\n    1,\n    {\"b/c\": \n 2}\n  ]\n}\n";
        assert_eq!(line(text, ""), Some(1));
        assert_eq!(line(text, "/a/0"), Some(3));
        assert_eq!(line(text, "/a/1/b~1c"), Some(5));
        assert_eq!(line(text, "/a/7"), None);
    }
}
