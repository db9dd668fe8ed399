//! `appspec.yml` as CodeDeploy's agent reads it: what can be read, with its lines, and every flaw that it has.

mod reader;

use std::fmt;

use pitcrew_core::lifecycle::LifecycleEvent;

use crate::yaml::{Node, YamlError};
use reader::Reader;

/// The most that all scripts of one event may take together, in seconds; also the default of one.
pub const LONGEST_EVENT_S: u64 = 3600;

/// An `appspec.yml`, as far as it can be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppSpec {
    /// What Install copies.
    pub files: Vec<Mapping>,
    /// What happens where a file of no earlier deployment stands in the way.
    pub file_exists: FileExistsBehavior,
    /// The scripts of each event, in the order of the file.
    pub hooks: Vec<Hook>,
    /// What becomes of files once they are copied.
    pub permissions: Vec<Permission>,
    /// What is wrong with it, in the order of the lines.
    pub flaws: Vec<Flaw>,
}

/// One entry of `files:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Its line.
    pub line: usize,
    /// Inside the bundle; `/` is the whole bundle.
    pub source: String,
    /// A directory on the instance.
    pub destination: String,
}

/// `file_exists_behavior:`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileExistsBehavior {
    /// Install fails.
    #[default]
    Disallow,
    /// The bundle's file wins.
    Overwrite,
    /// The instance's file stays.
    Retain,
}

/// The scripts of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The line of the event's name.
    pub line: usize,
    /// The event, as the file writes it.
    pub event: String,
    /// In order.
    pub scripts: Vec<Script>,
}

/// One script of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The line of its location.
    pub line: usize,
    /// Inside the bundle.
    pub location: String,
    /// `timeout:` in seconds, where it is given.
    pub timeout_s: Option<u64>,
    /// `runas:`
    pub run_as: Option<String>,
    /// `sudo:`
    pub sudo: bool,
}

/// One entry of `permissions:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// Its line.
    pub line: usize,
    /// A file or a directory on the instance.
    pub object: String,
    /// Whether it names some of the files only, by `pattern:` or `except:`.
    pub is_partial: bool,
    /// Whether it is for files; `type:` may leave it to directories.
    pub is_for_files: bool,
}

/// One thing that is wrong with an `appspec.yml` by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// What kind of thing.
    pub kind: FlawKind,
    /// Its line, counted from 1.
    pub line: usize,
    /// What is so.
    pub message: String,
    /// What mends it.
    pub fix: String,
}

/// What can be wrong with an `appspec.yml` by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlawKind {
    /// No YAML.
    NotYaml,
    /// `version` is another than 0.0.
    Version,
    /// `os` is another than linux.
    Os,
    /// A key that CodeDeploy does not know.
    UnknownKey,
    /// An event that does not exist.
    UnknownEvent,
    /// An event for which no script can be given.
    UnscriptableEvent,
    /// `hooks` is not made of events with lists of scripts that have a location.
    Hooks,
    /// A timeout that is no number of seconds.
    Timeout,
    /// An event whose timeouts add up to more than an hour.
    LongEvent,
    /// `files` is not made of sources with destinations.
    Files,
    /// `file_exists_behavior` is none of the three.
    FileExists,
    /// A permission that fails the deployment.
    Permission,
    /// A mode that YAML takes for an octal number, and CodeDeploy for another.
    OctalMode,
}

impl FlawKind {
    /// Whether a deployment of such a bundle cannot be played: CodeDeploy would refuse it, or do something else.
    #[must_use]
    pub fn is_fatal(self) -> bool {
        match self {
            Self::UnknownKey | Self::OctalMode => false,
            Self::NotYaml
            | Self::Version
            | Self::Os
            | Self::UnknownEvent
            | Self::UnscriptableEvent
            | Self::Hooks
            | Self::Timeout
            | Self::LongEvent
            | Self::Files
            | Self::FileExists
            | Self::Permission => true,
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {} {}", self.line, self.message, self.fix)
    }
}

impl AppSpec {
    /// Reads a text; what cannot be read is a flaw and is left out.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let node = match Node::parse(text) {
            Ok(Some(node)) => node,
            Ok(None) => Node::plain(""),
            Err(YamlError { line, message }) => {
                let mut reader = Reader::default();
                reader.flaw(FlawKind::NotYaml, line, format!("This is no YAML: {message}."), "Mend the line.");
                return reader.spec;
            }
        };
        Self::of(&node)
    }

    pub(crate) fn of(node: &Node) -> Self {
        let mut reader = Reader::default();
        reader.document(node);
        let mut spec = reader.spec;
        spec.flaws.sort_by_key(|flaw| flaw.line);
        spec
    }

    /// The scripts of an event, in order.
    #[must_use]
    pub fn scripts(&self, event: LifecycleEvent) -> &[Script] {
        let hook = self.hooks.iter().find(|hook| hook.event == event.name());
        hook.map_or(&[], |hook| hook.scripts.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_appspec_reads_as_codedeploy_documents_it() {
        let spec = AppSpec::read(
            "version: 0.0\nos: linux\nfiles:\n  - source: /\n    destination: /opt/app\nhooks:\n  \
             BeforeInstall:\n    - location: scripts/a.sh\n      timeout: 300\n      runas: root\n    - location: b\n",
        );
        assert_eq!(spec.flaws, []);
        assert_eq!(spec.files[0].destination, "/opt/app");
        let scripts = spec.scripts(LifecycleEvent::BeforeInstall);
        assert_eq!((scripts[0].line, scripts[0].timeout_s), (8, Some(300)));
        assert_eq!(scripts[0].run_as.as_deref(), Some("root"));
        assert_eq!(scripts[1].timeout_s, None);
        assert!(spec.scripts(LifecycleEvent::ApplicationStop).is_empty());
    }

    #[test]
    fn a_flaw_names_its_line_and_leaves_the_rest_readable() {
        let spec = AppSpec::read(
            "version: 0.0\nos: linux\nhooks:\n  AfterLunch:\n    - location: a\n  ValidateService:\n    - timeout: 3\n    - location: b\n",
        );
        let told: Vec<_> = spec.flaws.iter().map(|flaw| (flaw.line, flaw.kind)).collect();
        assert_eq!(told, [(4, FlawKind::UnknownEvent), (7, FlawKind::Hooks)]);
        assert_eq!(spec.scripts(LifecycleEvent::ValidateService).len(), 1);
    }
}
