//! One thing that happened: a fact for machines that is a sentence for people.

use std::fmt;
use std::time::Duration;

use pitcrew_core::ids::{DeploymentGroup, DeploymentId, ProbeName};
use pitcrew_core::lifecycle::LifecycleEvent;
use pitcrew_core::memory::Ending;
use pitcrew_core::notice::{Notice, NoticeKind};
use pitcrew_core::time::{Spoken, WallTime};
use pitcrew_core::view::State;
use pitcrew_core::wire::Verdict;
use serde::{Deserialize, Serialize};

/// Something that happened here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When, in milliseconds since 1970 UTC.
    pub at: WallTime,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
#[allow(missing_docs, reason = "fields are named like what they hold; `Display` is the sentence")]
pub enum What {
    AgentStarted {
        version: String,
    },
    StateChanged {
        state: State,
        sentence: String,
    },
    HookAnswered {
        event: LifecycleEvent,
        deployment: DeploymentId,
        verdict: Verdict,
        sentence: String,
        took_ms: u64,
    },
    DeploymentEnded {
        deployment: DeploymentId,
        group: DeploymentGroup,
        how: Ending,
        opened: WallTime,
        phases: Vec<Stretch>,
        /// The latest bad answer that one of its hooks was given.
        why: Option<String>,
    },
    NoticeSeen {
        notice: Notice,
    },
    NoticeWithdrawn {
        kind: NoticeKind,
    },
    Left {
        why: NoticeKind,
        badly: bool,
        sentence: String,
        left_ms: Option<u64>,
    },
    SightLost {
        why: String,
    },
    SightRegained {
        blind_ms: u64,
    },
    ProbeFailed {
        probe: ProbeName,
        reason: String,
    },
    ProbePassed {
        probe: ProbeName,
    },
}

/// A phase of a deployment, and how long it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// Which.
    pub phase: Phase,
    /// In milliseconds.
    pub ms: u64,
}

/// The phases of a deployment as traffic sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// On the way out of traffic.
    Draining,
    /// Out of traffic.
    Installing,
    /// On the way back.
    Returning,
}

impl Phase {
    /// The word used in metrics and for people.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Draining => "draining",
            Phase::Installing => "installing",
            Phase::Returning => "returning",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::AgentStarted { version } => write!(f, "agent {version} started"),
            What::StateChanged { state, sentence } => write!(f, "{}: {sentence}", state.word()),
            What::HookAnswered { event, deployment, sentence, .. } => write!(f, "{event} of {deployment}: {sentence}"),
            What::DeploymentEnded { deployment, how, opened: _, phases, why, group: _ } => {
                write!(f, "deployment {deployment} {}", told(*how))?;
                for (place, stretch) in phases.iter().enumerate() {
                    let comma = if place == 0 { ": " } else { ", " };
                    write!(f, "{comma}{} {}", stretch.phase.word(), spoken(stretch.ms))?;
                }
                why.as_ref().map_or(Ok(()), |why| write!(f, " ({why})"))
            }
            What::NoticeSeen { notice } => write!(f, "notice: {}", notice.kind),
            What::NoticeWithdrawn { kind } => write!(f, "notice withdrawn: {kind}"),
            What::Left { sentence, .. } => f.write_str(sentence),
            What::SightLost { why } => write!(f, "blind: {why}"),
            What::SightRegained { blind_ms } => write!(f, "seeing again after {}", spoken(*blind_ms)),
            What::ProbeFailed { probe, reason } => write!(f, "probe `{probe}` fails: {reason}"),
            What::ProbePassed { probe } => write!(f, "probe `{probe}` passes"),
        }
    }
}

/// How a deployment ended, as the end of a sentence.
pub(crate) fn told(how: Ending) -> &'static str {
    match how {
        Ending::Succeeded => "succeeded",
        Ending::HookFailed => "failed at a hook",
        Ending::SucceededUnheard => "succeeded, says CodeDeploy",
        Ending::Dead => "failed or was stopped, says CodeDeploy",
        Ending::AssumedDead => "fell silent",
        Ending::Superseded => "was over when the next one of its group came",
        Ending::Left => "was left behind: the instance left",
    }
}

fn spoken(ms: u64) -> Spoken {
    Spoken(Duration::from_millis(ms))
}
