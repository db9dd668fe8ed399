//! What the outside world says and is asked: values that cross the core's border.

mod action;
mod call;
mod deployment;
mod event;
mod target;

use serde::{Deserialize, Serialize};

pub use action::{Action, Moment};
pub use call::{Answer, HookCall, OperatorRequest, Verdict};
pub use deployment::{DeploymentState, Owner};
pub use event::{Event, HostAgent};
pub use target::{GroupFacts, Observation, Target, TargetState};

/// Why something outside did not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Decides whether to try again.
    pub kind: FailureKind,
    /// One sentence for people: what, on which object, and what to do where that is known.
    pub sentence: String,
}

/// Kinds of failure, by what helps against them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Asked too often: wait longer.
    Throttled,
    /// A fault over there, a timeout, no connection: try again.
    Unavailable,
    /// Not allowed: an operator must change a policy.
    Denied,
    /// The object does not exist.
    NotFound,
    /// The request makes no sense over there.
    Invalid,
}

impl FailureKind {
    /// Whether the same request may work in a moment.
    pub fn is_transient(self) -> bool {
        match self {
            FailureKind::Throttled | FailureKind::Unavailable => true,
            FailureKind::Denied | FailureKind::NotFound | FailureKind::Invalid => false,
        }
    }
}
