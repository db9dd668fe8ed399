//! `appspec.yml`: what to install where, and which scripts to run at which lifecycle event.

use std::collections::BTreeMap;
use std::time::Duration;

use pitcrew_lint::bundle::appspec as reader;
pub use reader::FileExistsBehavior;

use crate::lifecycle::LifecycleEvent;

/// The most that all scripts of one event may take together; also the default of one.
pub const LONGEST_EVENT: Duration = Duration::from_secs(reader::LONGEST_EVENT_S);

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Inside the bundle; `/` is the whole bundle.
    pub source: String,
    /// A directory on the instance.
    pub destination: String,
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

/// What is wrong with an `appspec.yml`, with the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AppSpecError(String);

impl AppSpec {
    /// Reads an `appspec.yml`; fails with the first thing in it that CodeDeploy would refuse or not run.
    pub fn parse(text: &str) -> Result<Self, AppSpecError> {
        let read = reader::AppSpec::read(text);
        if let Some(flaw) = read.flaws.iter().find(|flaw| flaw.kind.is_fatal()) {
            return Err(AppSpecError(flaw.to_string()));
        }
        let mut hooks = BTreeMap::new();
        for hook in read.hooks {
            let event: LifecycleEvent = hook.event.parse().map_err(|error| AppSpecError(format!("hooks: {error}")))?;
            hooks.insert(event, hook.scripts.into_iter().map(Script::from).collect());
        }
        let files = read.files.into_iter();
        let files = files.map(|reader::Mapping { source, destination, .. }| Mapping { source, destination }).collect();
        Ok(Self { files, file_exists: read.file_exists, hooks })
    }

    /// The scripts of an event, in order.
    pub fn scripts(&self, event: LifecycleEvent) -> &[Script] {
        self.hooks.get(&event).map_or(&[], Vec::as_slice)
    }
}

impl From<reader::Script> for Script {
    fn from(script: reader::Script) -> Self {
        Self {
            location: script.location,
            timeout: script.timeout_s.map_or(LONGEST_EVENT, Duration::from_secs),
            run_as: script.run_as,
            sudo: script.sudo,
        }
    }
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
            ("version: 0.1\nos: linux\n", "the only one"),
            ("version: 0.0\nos: windows\n", "for linux"),
            ("os: linux\n", "no version"),
            ("version: 0.0\nos: linux\nhooks:\n  AfterLunch:\n    - location: a\n", "`AfterLunch`"),
            ("version: 0.0\nos: linux\nhooks:\n  Install:\n    - location: a\n", "no script in Install"),
            (
                "version: 0.0\nos: linux\nhooks:\n  BeforeInstall:\n    - {location: a, timeout: 3000}\n    - {location: b, timeout: 700}\n",
                "3700 s",
            ),
            ("version: 0.0\nos: linux\nfiles: {\n", "line 3: This is no YAML"),
        ];
        for (text, expected) in cases {
            let error = AppSpec::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?} gave {error:?}");
        }
    }
}
