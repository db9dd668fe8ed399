//! What is asked of Elastigroup, and what it answers: values that cross the core's border.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::WallTime;

/// One thing asked of Elastigroup, about this instance or its group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// Read what the group declares. Answered with [`Reply::Group`].
    ReadGroup,
    /// Ask how Elastigroup sees this instance. Answered with [`Reply::Seen`].
    Look,
    /// Lock this instance against scale-in.
    Lock {
        /// The lock ends by itself after so many minutes.
        minutes: u32,
    },
    /// End the lock.
    Unlock,
    /// Suspend processes of the group, or see to it that they are suspended for long enough already.
    Suspend {
        /// Which.
        processes: Vec<Process>,
        /// The suspension ends by itself after so many minutes.
        minutes: u32,
    },
    /// End the suspensions, unless another instance of the group is being deployed to.
    Resume {
        /// Which.
        processes: Vec<Process>,
        /// They would end by themselves after about so many minutes; what ends at another time is not ours.
        minutes: u32,
    },
    /// Take this instance out of every target group of its Elastigroup.
    EnterStandby,
    /// Put it back.
    ExitStandby,
    /// Say something about this instance. Answered with [`Reply::Signalled`].
    Signal(Signal),
}

/// What an order is about; of each there is at most one under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// What the group declares.
    Group,
    /// This instance's own state.
    OwnState,
    /// The lock.
    Lock,
    /// The suspensions.
    Suspensions,
    /// Standby.
    Standby,
    /// That the instance is ready.
    Ready,
    /// That the instance may be shut down.
    Shutdown,
}

/// What Elastigroup answered; orders without an answer of their own are `Done`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is so.
    Done,
    /// What the group declares.
    Group(Declared),
    /// How Elastigroup sees this instance.
    Seen {
        /// Its life cycle state.
        life: Life,
        /// How much of the organization's allowance is used.
        load: Option<Load>,
    },
    /// The signal was taken.
    Signalled(Receipt),
}

/// What a group declares; from `GET /aws/ec2/group/{id}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// `strategy.drainingTimeout`: the hold between detach and termination.
    pub draining_timeout: Option<Duration>,
    /// `strategy.signals`: an instance is registered in the load balancer only when it said that it is ready, and
    /// replaced when it did not within this time.
    pub ready_timeout: Option<Duration>,
    /// `strategy.signals`: an instance is terminated after its detach as soon as it said so, or after this time; the
    /// draining timeout is ignored then.
    pub shutdown_timeout: Option<Duration>,
}

/// `lifeCycleState` of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Life {
    /// In the group.
    Active,
    /// Detached: it will be terminated.
    Terminating,
    /// Nothing, or a word that this version does not know.
    Unknown(String),
}

/// How much of a route's allowance the whole organization used in the last minute, this agent's calls among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Requests a minute that are allowed.
    pub limit: u32,
    /// Requests that were made.
    pub used: u32,
}

/// What an instance can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// It may get traffic.
    Ready,
    /// It may be terminated.
    ReadyToShutdown,
}

/// Elastigroup's answer to a signal. A late one is taken, too; only this tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// `signalExpiresAt`: a signal after this time was too late.
    pub expires: Option<WallTime>,
    /// `message`, in Elastigroup's own words.
    pub message: Option<String>,
}

/// What a group does by itself, and can be kept from for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Process {
    /// Scaling up and down.
    AutoScale,
    /// Replacing unhealthy instances.
    AutoHealing,
    /// Fixing what no longer fits the strategy.
    OutOfStrategy,
    /// Replacing spot instances that are likely to be interrupted.
    PreventiveReplacement,
    /// Going back to preferred instance types.
    RevertPreferred,
    /// Scheduled tasks.
    Scheduling,
}

impl Order {
    /// What it is about.
    pub fn topic(&self) -> Topic {
        match self {
            Order::ReadGroup => Topic::Group,
            Order::Look => Topic::OwnState,
            Order::Lock { .. } | Order::Unlock => Topic::Lock,
            Order::Suspend { .. } | Order::Resume { .. } => Topic::Suspensions,
            Order::EnterStandby | Order::ExitStandby => Topic::Standby,
            Order::Signal(Signal::Ready) => Topic::Ready,
            Order::Signal(Signal::ReadyToShutdown) => Topic::Shutdown,
        }
    }
}

impl Declared {
    /// What Elastigroup documents as its default `drainingTimeout`.
    pub const DEFAULT_HOLD: Duration = Duration::from_secs(120);

    /// How long a detached instance is held before it is terminated.
    pub fn hold(&self) -> Duration {
        self.shutdown_timeout.or(self.draining_timeout).unwrap_or(Self::DEFAULT_HOLD)
    }
}

impl Signal {
    /// Elastigroup's own word.
    pub fn word(self) -> &'static str {
        match self {
            Signal::Ready => "INSTANCE_READY",
            Signal::ReadyToShutdown => "INSTANCE_READY_TO_SHUTDOWN",
        }
    }
}

impl Process {
    /// Every one.
    pub const ALL: [Process; 6] = [
        Process::AutoScale,
        Process::AutoHealing,
        Process::OutOfStrategy,
        Process::PreventiveReplacement,
        Process::RevertPreferred,
        Process::Scheduling,
    ];

    /// Elastigroup's own word.
    pub fn word(self) -> &'static str {
        match self {
            Process::AutoScale => "AUTO_SCALE",
            Process::AutoHealing => "AUTO_HEALING",
            Process::OutOfStrategy => "OUT_OF_STRATEGY",
            Process::PreventiveReplacement => "PREVENTIVE_REPLACEMENT",
            Process::RevertPreferred => "REVERT_PREFERRED",
            Process::Scheduling => "SCHEDULING",
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
