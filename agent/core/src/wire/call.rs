//! Calls on the agent: what a hook or an operator asks, and the one answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{DeploymentGroup, DeploymentId};
use crate::lifecycle::LifecycleEvent;
use crate::revision::Revision;

/// What CodeDeploy told a hook script in its environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookCall {
    /// `LIFECYCLE_EVENT`.
    pub event: LifecycleEvent,
    /// `DEPLOYMENT_ID`: the new deployment's, also for scripts of the previous revision.
    pub deployment: DeploymentId,
    /// `APPLICATION_NAME` and `DEPLOYMENT_GROUP_NAME`.
    pub group: DeploymentGroup,
    /// `BUNDLE_…`.
    #[serde(default, skip_serializing_if = "Revision::is_unknown")]
    pub revision: Revision,
    /// How long the caller waits; the core answers before.
    pub patience: Duration,
}

/// What an operator may ask on the socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorRequest {
    /// Leave traffic and stay out until `In`, or for so long.
    Out {
        /// Ends the hold by itself after this time.
        ttl: Option<Duration>,
        /// How long the caller waits for the drain.
        patience: Duration,
    },
    /// End the hold and return to traffic.
    In {
        /// How long the caller waits for the balancer.
        patience: Duration,
    },
    /// Leave for good, as under a notice.
    Leave {
        /// How long that may take; `None`: the budget of a notice that names no time.
        within: Option<Duration>,
        /// Whether the answer comes when all is done, or at once.
        waits: bool,
        /// How long the caller waits for the end.
        patience: Duration,
    },
}

/// The one answer to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Becomes the caller's exit status.
    pub verdict: Verdict,
    /// The reason, as CodeDeploy will show it.
    pub sentence: String,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// What was asked is so. Exit status 0.
    Done,
    /// It cannot be made so. Exit status 1.
    Failed,
    /// It was not so in time, or the caller stopped waiting; the state before was restored. Exit status 75.
    TimedOut,
    /// The instance is leaving and takes no deployment. Exit status 77.
    Refused,
    /// Only an operator can mend this. Exit status 78.
    Misconfigured,
}

impl Verdict {
    /// The exit status that `pitcrew hook` ends with (sysexits where one fits).
    pub fn exit_status(self) -> u8 {
        match self {
            Verdict::Done => 0,
            Verdict::Failed => 1,
            Verdict::TimedOut => 75,
            Verdict::Refused => 77,
            Verdict::Misconfigured => 78,
        }
    }
}
