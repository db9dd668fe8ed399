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

/// A value as TOML writes it in a line. JSON's strings, numbers and lists are TOML's too; its objects are not.
fn toml_of(value: &Json) -> String {
    match value {
        Json::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Json::Object(entries) => {
            let entries: Vec<_> =
                entries.iter().map(|(key, value)| format!("{} = {}", key_of(key), toml_of(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => value.to_string(),
    }
}

fn key_of(key: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if key.bytes().all(is_bare) { key.to_owned() } else { json!(key).to_string() }
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
                value => format!("{} = {}", row.key, toml_of(value)),
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
