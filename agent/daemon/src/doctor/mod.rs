//! `pitcrew doctor`: every prerequisite of a deployment, in the order in which a person would put it right.
//!
//! [`gather`] asks and reads, and changes nothing; the checks are small total functions over what it found.

mod checks;
mod elastigroup;
mod facts;
mod fleet;
mod gather;
mod text;
mod waits;
mod watch;

use serde::Serialize;

pub use checks::diagnose;
pub use elastigroup::Group as Elastigroup;
pub use facts::{Facts, Membership, Patience, Permission, Space};
pub use fleet::{FleetFacts, FleetInstance, diagnose_fleet, gather_fleet};
pub use gather::{Asking, gather};
pub use text::lines;
pub use watch::until_green;

/// One prerequisite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its name; the same in every run.
    pub check: &'static str,
    /// How it stands.
    pub level: Level,
    /// What was seen.
    pub why: String,
    /// What puts it right, exactly, where something is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// How a prerequisite stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Deployments work, but not as well as they could; or it could not be seen.
    Warning,
    /// Deployments do not work, or lose requests.
    Failed,
}

impl Line {
    fn ok(check: &'static str, why: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, why: why.into(), fix: None }
    }

    fn warning(check: &'static str, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, level: Level::Warning, why: why.into(), fix: Some(fix.into()) }
    }

    fn failed(check: &'static str, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, level: Level::Failed, why: why.into(), fix: Some(fix.into()) }
    }
}

/// The worst of all.
pub fn worst(lines: &[Line]) -> Level {
    lines.iter().map(|line| line.level).max().unwrap_or(Level::Ok)
}
