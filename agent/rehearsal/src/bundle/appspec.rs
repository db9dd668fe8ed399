//! `appspec.yml`: what to install where, and which scripts to run at which lifecycle event.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::lifecycle::LifecycleEvent;

/// The most that all scripts of one event may take together; also the default of one.
pub const LONGEST_EVENT: Duration = Duration::from_secs(3600);

/// A parsed and checked `appspec.yml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSpec {
    /// What Install copies.
    pub files: Vec<Mapping>,
    /// What happens where a file of no earlier deployment stands in the way.
    pub file_exists: FileExistsBehavior,
    /// The scripts of each event, in order.
    pub hooks: BTreeMap<LifecycleEvent, Vec<Script>>,
}

/// One entry of `files:`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Mapping {
    /// Inside the bundle; `/` is the whole bundle.
    pub source: String,
    /// A directory on the instance.
    pub destination: String,
}

/// `file_exists_behavior:`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum FileExistsBehavior {
    /// Install fails.
    #[default]
    Disallow,
    /// The bundle's file wins.
    Overwrite,
    /// The instance's file stays.
    Retain,
}

/// One script of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Inside the bundle.
    pub location: String,
    /// `timeout:`, 3600 s when absent.
    pub timeout: Duration,
    /// `runas:`
    pub run_as: Option<String>,
    /// `sudo:`
    pub sudo: bool,
}

/// What is wrong with an `appspec.yml`, with the key or the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AppSpecError(String);

#[derive(Deserialize)]
struct Document {
    version: f64,
    os: String,
    #[serde(default)]
    files: Option<Vec<Mapping>>,
    #[serde(default)]
    file_exists_behavior: FileExistsBehavior,
    #[serde(default)]
    hooks: Option<BTreeMap<String, Option<Vec<Entry>>>>,
}

#[derive(Deserialize)]
struct Entry {
    location: String,
    #[serde(default)]
    timeout: Option<u64>,
    #[serde(default)]
    runas: Option<String>,
    #[serde(default)]
    sudo: bool,
}

impl AppSpec {
    /// Reads an `appspec.yml`; errors name the key.
    pub fn parse(text: &str) -> Result<Self, AppSpecError> {
        let document: Document = serde_saphyr::from_str(text).map_err(|error| AppSpecError(error.to_string()))?;
        if document.version != 0.0 {
            return Err(refused(format!(
                "version is {}, but 0.0 is the only version that CodeDeploy knows",
                document.version
            )));
        }
        if document.os != "linux" {
            return Err(refused(format!("os is `{}`, but Pitcrew is for linux", document.os)));
        }
        let mut hooks = BTreeMap::new();
        for (name, entries) in document.hooks.unwrap_or_default() {
            let event: LifecycleEvent = name.parse().map_err(|error| refused(format!("hooks: {error}")))?;
            if !event.is_scriptable() {
                return Err(refused(format!("hooks: CodeDeploy runs no script in {event}")));
            }
            let scripts: Vec<_> = entries.unwrap_or_default().into_iter().map(Script::from).collect();
            let total: Duration = scripts.iter().map(|script| script.timeout).sum();
            if declared(&scripts) && total > LONGEST_EVENT {
                return Err(refused(format!(
                    "hooks: the timeouts of {event} add up to {} s, and one event may take 3600 s",
                    total.as_secs()
                )));
            }
            hooks.insert(event, scripts);
        }
        Ok(Self { files: document.files.unwrap_or_default(), file_exists: document.file_exists_behavior, hooks })
    }

    /// The scripts of an event, in order.
    pub fn scripts(&self, event: LifecycleEvent) -> &[Script] {
        self.hooks.get(&event).map_or(&[], Vec::as_slice)
    }
}

/// Whether every script says its timeout: defaults alone are not counted against the sum.
fn declared(scripts: &[Script]) -> bool {
    scripts.iter().all(|script| script.timeout != LONGEST_EVENT)
}

impl From<Entry> for Script {
    fn from(entry: Entry) -> Self {
        Self {
            location: entry.location.trim_start_matches('/').to_owned(),
            timeout: entry.timeout.map_or(LONGEST_EVENT, Duration::from_secs),
            run_as: entry.runas,
            sudo: entry.sudo,
        }
    }
}

fn refused(why: String) -> AppSpecError {
    AppSpecError(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_appspec_reads_as_codedeploy_documents_it() {
        let spec = AppSpec::parse(
            "version: 0.0\nos: linux\nfiles:\n  - source: /\n    destination: /opt/app\nhooks:\n  \
             BeforeInstall:\n    - location: scripts/a.sh\n      timeout: 300\n      runas: root\n    - location: b\n",
        )
        .unwrap();
        assert_eq!(spec.files[0].destination, "/opt/app");
        let scripts = spec.scripts(LifecycleEvent::BeforeInstall);
        assert_eq!(scripts[0].timeout, Duration::from_secs(300));
        assert_eq!(scripts[0].run_as.as_deref(), Some("root"));
        assert_eq!(scripts[1].timeout, LONGEST_EVENT);
        assert!(spec.scripts(LifecycleEvent::ApplicationStop).is_empty());
    }

    #[test]
    fn what_codedeploy_would_refuse_is_refused_with_the_reason() {
        let cases = [
            ("version: 0.1\nos: linux\n", "only version"),
            ("version: 0.0\nos: windows\n", "for linux"),
            ("os: linux\n", "version"),
            ("version: 0.0\nos: linux\nhooks:\n  AfterLunch:\n    - location: a\n", "`AfterLunch`"),
            ("version: 0.0\nos: linux\nhooks:\n  Install:\n    - location: a\n", "no script in Install"),
            (
                "version: 0.0\nos: linux\nhooks:\n  BeforeInstall:\n    - {location: a, timeout: 3000}\n    - {location: b, timeout: 700}\n",
                "3700 s",
            ),
            ("version: 0.0\nos: linux\nfiles: {\n", "line 3"),
        ];
        for (text, expected) in cases {
            let error = AppSpec::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?} gave {error:?}");
        }
    }
}
