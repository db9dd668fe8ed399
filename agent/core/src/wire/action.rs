//! What is to be done outside.

use std::time::Duration;

use serde::{Deserialize, Serialize};

#[cfg(doc)]
use super::Event;
use super::{Answer, Target};
use crate::elastigroup::Order;
use crate::ids::{CallId, DeploymentGroup, DeploymentId, TargetGroupArn};
use crate::notice::NoticeKind;
use crate::time::Instant;

/// Something to do outside. Imperative; every one but `Reply`, `Promise`, `Retract`, `Progress` and `Announce` is answered
/// by exactly one [`Event`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask CodeDeploy who moves traffic for a deployment group.
    LearnOwner {
        /// The deployment group.
        group: DeploymentGroup,
    },
    /// Ask CodeDeploy how a deployment stands on this instance.
    LearnDeployment {
        /// The deployment.
        deployment: DeploymentId,
    },
    /// Ask whoever keeps up the fleet to replace this instance: a deployment left a broken application behind.
    AskReplacement,
    /// Find the target groups that hold this instance, and those that the configuration names.
    DiscoverGroups,
    /// Ask a target group for its targets' health.
    ObserveGroup {
        /// The group.
        group: TargetGroupArn,
    },
    /// Take targets of this instance out.
    Deregister {
        /// The group.
        group: TargetGroupArn,
        /// With the ports that were observed.
        targets: Vec<Target>,
    },
    /// Put targets of this instance (back) in.
    Register {
        /// The group.
        group: TargetGroupArn,
        /// With the ports that were observed or declared.
        targets: Vec<Target>,
    },
    /// Count established connections from other hosts.
    CountConnections {
        /// On these local ports.
        ports: Vec<u16>,
    },
    /// Answer a call, for the only time.
    Reply {
        /// Which call.
        call: CallId,
        /// With what.
        answer: Answer,
    },
    /// Tell a waiting caller how its call will end, before it does. The answer comes when the caller may go on; this
    /// stands where the agent can no longer give one. A later promise takes the place of an earlier one.
    Promise {
        /// Which call.
        call: CallId,
        /// With what it will end, unless the promise is taken back.
        answer: Answer,
        /// It ends after so long, at the latest.
        within: Duration,
    },
    /// Take the promise back: the notice behind it was withdrawn, and the caller waits as if nothing had been promised.
    Retract {
        /// Which call.
        call: CallId,
    },
    /// Tell a waiting caller how things go.
    Progress {
        /// Which call.
        call: CallId,
        /// One sentence.
        sentence: String,
    },
    /// Run the operator's `drain.d`, in order, each bounded by what is left.
    RunDrainScripts {
        /// Why the instance leaves.
        why: NoticeKind,
        /// What runs then is killed.
        until: Instant,
        /// Those that ended already, before a restart of the agent.
        ended: Vec<String>,
    },
    /// Remove the tags by which CodeDeploy chooses this instance.
    RemoveTags,
    /// Tell those who wait for this instance (an Auto Scaling lifecycle action) that it may go.
    Release {
        /// Why the instance leaves, where somebody waits for it: who.
        why: NoticeKind,
    },
    /// Ask something of Elastigroup.
    Elastigroup(Order),
    /// Tell the operator's webhook.
    Announce {
        /// At which turn.
        moment: Moment,
        /// Why the instance leaves.
        why: NoticeKind,
        /// One sentence.
        sentence: String,
    },
}

/// The turns of leaving that are announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// The first notice was seen.
    Noticed,
    /// All is done.
    Left,
    /// The time is over, and something was skipped or failed.
    LeftBadly,
}
