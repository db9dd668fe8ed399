//! What happened outside.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

#[cfg(doc)]
use super::Action;
use super::{DeploymentState, Failure, GroupFacts, HookCall, Observation, OperatorRequest, Owner};
use crate::elastigroup::{Order, Reply};
use crate::ids::{CallId, DeploymentGroup, DeploymentId, ProbeName, TargetGroupArn};
use crate::notice::Notice;

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
