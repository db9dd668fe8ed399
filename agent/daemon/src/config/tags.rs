//! `[tags]`: what the instance's tags say after a deployment, and how it is written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::value::{Value, expected};

/// `[tags]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagSettings {
    /// Where the value of `pitcrew:version` comes from.
    pub version: VersionFrom,
    /// Set beside it.
    pub after_success: BTreeMap<String, String>,
}

/// Where the version of what was deployed comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum VersionFrom {
    /// No such tag is set.
    Nothing,
    /// The revision: its commit, else the version or the ETag of its object in S3.
    #[default]
    Revision,
    /// The first line of a file that the bundle installs.
    File(PathBuf),
}

impl Value for VersionFrom {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        match toml.as_str() {
            Some("none") => Ok(Self::Nothing),
            Some("revision") => Ok(Self::Revision),
            Some(path) if path.starts_with('/') => Ok(Self::File(path.into())),
            Some(_) | None => Err(expected("\"revision\", \"none\" or the whole path of a file", toml)),
        }
    }

    fn show(&self) -> Json {
        match self {
            Self::Nothing => json!("none"),
            Self::Revision => json!("revision"),
            Self::File(path) => json!(path.display().to_string()),
        }
    }
}

/// Tags by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TagTable(pub(super) BTreeMap<String, String>);

impl Value for TagTable {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        let table = toml.as_table().ok_or_else(|| expected("a table of tags, { key = \"value\" }", toml))?;
        let mut tags = BTreeMap::new();
        for (key, value) in table {
            let key = key.get_ref().to_string();
            let value = value.get_ref();
            let text = value.as_str().ok_or_else(|| expected("a string", value))?;
            if key.is_empty() || key.chars().count() > 128 || key.starts_with("aws:") || text.chars().count() > 256 {
                return Err(format!(
                    "`{key}` is no tag that EC2 takes: up to 128 characters, 256 in its value, no aws:"
                ));
            }
            tags.insert(key, text.to_owned());
        }
        Ok(Self(tags))
    }

    fn show(&self) -> Json {
        json!(self.0)
    }
}
