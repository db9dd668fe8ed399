//! Owns what an operator decided: finds the files, refuses bad ones whole, and makes `Settings`.
//!
//! `Fragment` (what one file says) → [`Merged`] (what all say, with origins) → [`Settings`] (validated).
//! Files are `*.toml` in `/usr/lib/pitcrew/config.d`, `/run/pitcrew/config.d` and `/etc/pitcrew/config.d`,
//! read in the order of their names. A file hides files of the same name in earlier directories; among the
//! files that are left, the later name wins key by key.

mod agents;
pub mod duration;
mod elastigroup;
mod keys;
mod leave;
mod origin;
mod probe;
mod read;
mod settings;
mod show;
mod tags;
mod template;
mod value;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

pub use agents::{Agents, Restart};
pub use elastigroup::{Elastigroup, TokenPlace};
pub use keys::Merged;
pub use leave::{Address, Commands, Credential, DRAIN_D, Lead, Leave, OnStop, RunScripts, Scheduled, Webhook};
pub use origin::Complaint;
pub use settings::{
    Aws, Check, CloudWatch, CodeDeployAgent, History, Http, Imds, Log, LogFormat, LogLevel, Probe, Settings, Statuses,
};
pub use tags::{TagSettings, VersionFrom};
pub use template::{Fill, Template};

/// Where files are looked for when nobody says otherwise, the least important first.
pub const DIRECTORIES: [&str; 3] = ["/usr/lib/pitcrew/config.d", "/run/pitcrew/config.d", "/etc/pitcrew/config.d"];

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A directory or a file cannot be read.
    #[error("failed to read `{path}`")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Files say what makes no sense; every complaint, in the order of files and lines.
    #[error("{}", lines(.0))]
    Refused(Vec<Complaint>),
}

fn lines(complaints: &[Complaint]) -> String {
    let lines: Vec<_> = complaints.iter().map(Complaint::to_string).collect();
    lines.join("\n")
}

/// Reads the configuration: from `directories` where any are given (they must exist), else from
/// [`DIRECTORIES`] (which need not).
pub fn load(directories: &[PathBuf]) -> Result<Merged, ConfigError> {
    let mut files = BTreeMap::new();
    match directories {
        [] => {
            for directory in DIRECTORIES {
                collect(Path::new(directory), Absent::IsEmpty, &mut files)?;
            }
        }
        given => {
            for directory in given {
                collect(directory, Absent::IsAnError, &mut files)?;
            }
        }
    }
    let mut texts = Vec::new();
    for path in files.into_values() {
        match std::fs::read_to_string(&path) {
            Ok(text) => texts.push((path, text)),
            Err(source) => return Err(ConfigError::Read { path, source }),
        }
    }
    let fragments: Vec<_> = texts.iter().map(|(path, text)| (path.as_path(), text.as_str())).collect();
    read(&fragments)
}

/// Reads fragments, the least important first, wherever they come from; `name` stands for a path in complaints.
pub fn read(fragments: &[(&Path, &str)]) -> Result<Merged, ConfigError> {
    let mut merged = keys::Fragment::default();
    let mut complaints = Vec::new();
    for (name, text) in fragments {
        match read::fragment(name, text) {
            Ok(fragment) => merged = merged.then(fragment),
            Err(more) => complaints.extend(more),
        }
    }
    match complaints.is_empty() {
        true => Merged::from(merged).consistent(),
        false => Err(ConfigError::Refused(complaints)),
    }
}

enum Absent {
    IsEmpty,
    IsAnError,
}

/// Adds the directory's `*.toml` by name, hiding those of the same name; editors' dot files are not ours.
fn collect(directory: &Path, absent: Absent, files: &mut BTreeMap<OsString, PathBuf>) -> Result<(), ConfigError> {
    let unreadable = |source| ConfigError::Read { path: directory.to_owned(), source };
    let entries = match (std::fs::read_dir(directory), absent) {
        (Err(error), Absent::IsEmpty) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        (entries, Absent::IsEmpty | Absent::IsAnError) => entries.map_err(unreadable)?,
    };
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        let is_toml = path.extension().is_some_and(|extension| extension == "toml");
        match path.file_name() {
            Some(name) if is_toml && !name.as_encoded_bytes().starts_with(b".") => {
                files.insert(name.to_owned(), path);
            }
            Some(_) | None => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
