//! `pitcrew config show`: every key, its value and where it comes from.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::keys::Merged;
use super::origin::Origin;

/// One key.
pub(super) struct Row {
    /// `drain`, or `health.probe.NAME`.
    pub(super) section: String,
    pub(super) key: &'static str,
    /// Null where nothing is set.
    pub(super) value: Json,
    pub(super) origin: Origin,
}

impl Merged {
    /// TOML that says the same as all files together; each line names its origin.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut section = None;
        for row in self.rows() {
            if section.as_ref() != Some(&row.section) {
                let gap = if section.is_none() { "" } else { "\n" };
                let heading = match row.section.strip_prefix("health.probe.") {
                    Some(_) => "[[health.probe]]".to_owned(),
                    None => format!("[{}]", row.section),
                };
                let _ = writeln!(text, "{gap}{heading}");
                section = Some(row.section.clone());
            }
            let line = match &row.value {
                Json::Null => format!("# {} is not set", row.key),
                value => format!("{} = {value}", row.key),
            };
            let _ = writeln!(text, "{line:<40} # {}", row.origin);
        }
        text
    }

    /// The same as a list of `{key, value, file, line}`; `file` and `line` are null for defaults.
    pub fn to_json(&self) -> Json {
        self.rows()
            .into_iter()
            .map(|row| {
                let (file, line) = match row.origin {
                    Origin::Default => (None, None),
                    Origin::File(path, line) => (Some(path.display().to_string()), Some(line)),
                };
                json!({
                    "key": format!("{}.{}", row.section, row.key),
                    "value": row.value,
                    "file": file,
                    "line": line,
                })
            })
            .collect()
    }
}
