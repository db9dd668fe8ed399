//! What the outside world says and is asked: values that cross the core's border.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::elastigroup::{Order, Reply};
use crate::ids::{CallId, DeploymentGroup, DeploymentId, ProbeName, TargetGroupArn};
use crate::lifecycle::LifecycleEvent;
use crate::notice::{Notice, NoticeKind};
use crate::revision::Revision;
use crate::time::Instant;

/// Something that happened outside. Past tense; carries what was learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The engine is up and its memory restored.
    Started,
    /// The moment asked for by [`crate::Core::wake_at`] has come.
    TimerElapsed,
    /// A hook script called.
    HookArrived {
        /// Names the call until its answer.
        call: CallId,
        /// What CodeDeploy told the script.
        hook: HookCall,
    },
    /// An operator asked for something that moves traffic.
    OperatorAsked {
        /// Names the call until its answer.
        call: CallId,
        /// What was asked.
        request: OperatorRequest,
    },
    /// The caller was told to stop (SIGTERM) or its connection closed: nobody waits any more, or soon nobody will.
    CallAbandoned {
        /// Which call.
        call: CallId,
    },
    /// Answer to [`Action::LearnOwner`].
    OwnerLearned {
        /// The deployment group asked about.
        group: DeploymentGroup,
        /// Who moves its traffic.
        answer: Result<Owner, Failure>,
    },
    /// Answer to [`Action::LearnDeployment`].
    DeploymentLearned {
        /// The deployment asked about.
        deployment: DeploymentId,
        /// How it stands.
        answer: Result<DeploymentState, Failure>,
    },
    /// A look at the directory in which CodeDeploy's host agent tracks the commands that it carries out.
    CommandsSeen {
        /// The deployments of which a command executes, and for how long it has; `None`: the directory is not there, or
        /// cannot be read, and says nothing.
        executing: Option<BTreeMap<DeploymentId, Duration>>,
    },
    /// A look at the agents of AWS on this host, where it shows something else than the look before.
    AgentsSeen {
        /// Those that are installed.
        agents: Vec<HostAgent>,
    },
    /// Answer to [`Action::AskReplacement`].
    ReplacementAsked {
        /// Whether somebody will replace this instance; for people.
        answer: Result<String, Failure>,
    },
    /// Answer to [`Action::DiscoverGroups`]: every target group to look after.
    GroupsDiscovered {
        /// Facts that do not change while a deployment runs.
        answer: Result<Vec<GroupFacts>, Failure>,
    },
    /// Answer to [`Action::ObserveGroup`].
    GroupObserved {
        /// The group asked about.
        group: TargetGroupArn,
        /// Who is in it.
        answer: Result<Observation, Failure>,
    },
    /// Answer to [`Action::Deregister`].
    Deregistered {
        /// The group changed.
        group: TargetGroupArn,
        /// Whether the balancer took it.
        answer: Result<(), Failure>,
    },
    /// Answer to [`Action::Register`].
    Registered {
        /// The group changed.
        group: TargetGroupArn,
        /// Whether the balancer took it.
        answer: Result<(), Failure>,
    },
    /// Answer to [`Action::CountConnections`]; a port without an entry could not be counted.
    ConnectionsCounted {
        /// Established connections from other hosts, by local port.
        counts: BTreeMap<u16, usize>,
    },
    /// A health probe came back.
    ProbeAnswered {
        /// Which probe.
        probe: ProbeName,
        /// What it found; an error is the reason, for people.
        answer: Result<(), String>,
    },
    /// The instance will be taken away, or may be.
    NoticeSeen {
        /// What, by whom, when.
        notice: Notice,
    },
    /// A notice seen before is gone at its source.
    NoticeWithdrawn {
        /// The notice, as it was seen.
        notice: Notice,
    },
    /// The metadata service has not answered for some seconds: a notice may stand there unheard.
    SightLost {
        /// What it did last; for people.
        why: String,
    },
    /// The metadata service answers again.
    SightRegained,
    /// One of the scripts of [`Action::RunDrainScripts`] has ended; comes once for each that was started.
    DrainScriptEnded {
        /// Its file name.
        name: String,
        /// How, in words: `exited 0 after 2 s`; an error is how it went wrong.
        how: Result<String, String>,
    },
    /// Answer to [`Action::RunDrainScripts`]: none is left to run.
    DrainScriptsEnded {
        /// An error: they could not be run at all.
        answer: Result<(), Failure>,
    },
    /// Answer to [`Action::RemoveTags`].
    TagsRemoved {
        /// Whether they are gone.
        answer: Result<(), Failure>,
    },
    /// Answer to [`Action::Release`].
    Released {
        /// Whether all who wait were told.
        answer: Result<(), Failure>,
    },
    /// Answer to [`Action::Elastigroup`].
    ElastigroupReplied {
        /// What was asked.
        order: Order,
        /// What came of it.
        answer: Result<Reply, Failure>,
    },
}

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

/// Who moves a deployment group's traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// This agent, on behalf of the deployment.
    Pitcrew,
    /// CodeDeploy itself, by its BlockTraffic and AllowTraffic events.
    CodeDeploy,
    /// This agent, by Elastigroup's standby.
    Elastigroup,
}

impl Owner {
    /// Whether this agent moves traffic, by itself or by others, on behalf of the deployment.
    pub fn is_here(self) -> bool {
        match self {
            Owner::Pitcrew | Owner::Elastigroup => true,
            Owner::CodeDeploy => false,
        }
    }
}

/// How a deployment stands on this instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeploymentState {
    /// Not over.
    Running,
    /// Over, and well.
    Succeeded,
    /// Over: failed, stopped, skipped, or unknown to CodeDeploy.
    Failed,
}

/// An agent of AWS that is installed on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAgent {
    /// `ssm` or `codedeploy`.
    pub name: String,
    /// Whether it runs; `None`: this host does not tell.
    pub running: Option<bool>,
    /// Which version it is, where it says so.
    pub version: Option<String>,
    /// What is wrong with it, for people.
    pub trouble: Option<String>,
}

/// A target group's facts that do not change while a deployment runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupFacts {
    /// Its ARN.
    pub arn: TargetGroupArn,
    /// `deregistration_delay.timeout_seconds`.
    pub deregistration_delay: Duration,
}

/// One registration of this instance in a target group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// The registered id: this instance's id, or its address where the group's targets are of type `ip`.
    pub id: String,
    /// The port that traffic comes to.
    pub port: u16,
    /// Only where the API takes one back (`ip` targets outside the VPC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// What `DescribeTargetHealth` said of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// This instance's registrations and how each stands. Absent: not registered.
    pub own: BTreeMap<Target, TargetState>,
    /// Other targets that are registered (not draining).
    pub peers: usize,
    /// Of those, the healthy ones.
    pub healthy_peers: usize,
}

impl Observation {
    /// This instance's registrations: healthy or not, but not on their way out.
    pub fn registered(&self) -> impl Iterator<Item = &Target> {
        self.own.iter().filter(|(_, state)| state.is_registered()).map(|(target, _)| target)
    }
}

/// A target's state in the balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetState {
    /// Registered; the balancer has not made up its mind.
    Initial,
    /// In service.
    Healthy,
    /// Registered; fails the balancer's checks. With the balancer's reason.
    Unhealthy(String),
    /// Deregistered; what is in flight may finish.
    Draining,
    /// Registered, but no listener or zone sends traffic here: waiting for healthy never ends.
    NotInUse,
    /// Registered, but health checks are off or the balancer cannot tell.
    Unavailable(String),
    /// A word that this version does not know; neither an error nor a state to act on.
    Unknown(String),
}

impl TargetState {
    /// Whether the balancer may send new requests, now or soon, unless it is told otherwise.
    pub fn is_registered(&self) -> bool {
        match self {
            TargetState::Initial
            | TargetState::Healthy
            | TargetState::Unhealthy(_)
            | TargetState::NotInUse
            | TargetState::Unavailable(_)
            | TargetState::Unknown(_) => true,
            TargetState::Draining => false,
        }
    }
}

impl fmt::Display for TargetState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetState::Initial => f.write_str("initial"),
            TargetState::Healthy => f.write_str("healthy"),
            TargetState::Unhealthy(reason) => write!(f, "unhealthy ({reason})"),
            TargetState::Draining => f.write_str("draining"),
            TargetState::NotInUse => f.write_str("not in use"),
            TargetState::Unavailable(reason) => write!(f, "unavailable ({reason})"),
            TargetState::Unknown(word) => write!(f, "unknown state `{word}`"),
        }
    }
}

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
