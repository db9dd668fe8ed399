//! What this instance says to its Elastigroup, and hears from it: protections while a deployment runs, standby as the
//! way out of traffic, the word that it is ready, and that it was detached.
//!
//! Nothing here is waited for: without an answer, deployments and drains go on.

mod orders;
mod protection;
mod ready;
mod standby;
mod view;
mod watch;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::asks::Ask;
use crate::core::Core;
use crate::time::{Instant, Now};
use crate::wire::{Action, Failure};

pub use orders::{Declared, Life, Load, Order, Process, Receipt, Reply, Signal, Topic};
pub use protection::Held;
pub use standby::Standby;
pub use view::ElastigroupView;
pub(crate) use watch::Watched;

/// What an operator may decide about Elastigroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// What the group may not do while a deployment runs here, beside what the lock stops. Holds for the whole group.
    pub suspend: BTreeSet<Process>,
    /// When the instance is said to be ready.
    pub ready: ReadyAfter,
}

/// After what the instance is said to be ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadyAfter {
    /// A deployment ended well here, and the application is healthy.
    Deployment,
    /// The application is healthy.
    Health,
    /// The agent runs.
    Boot,
    /// Somebody else says it.
    Never,
}

impl Default for Settings {
    fn default() -> Self {
        Self { suspend: BTreeSet::new(), ready: ReadyAfter::Deployment }
    }
}

/// What must be known again after a restart: all that was taken from Elastigroup, and what it was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kept {
    /// The lock against scale-in, where it may be held.
    pub lock: Option<Held>,
    /// The suspended processes, where they may be.
    pub suspensions: Option<Held>,
    /// The instance is in standby, or may be. Standby has no end of its own.
    pub standby: Option<Standby>,
    /// A deployment has ended well here.
    pub deployed: bool,
    /// What Elastigroup answered when it was told that the instance is ready.
    pub ready: Option<Receipt>,
}

impl Kept {
    /// Moves every instant, after a reboot.
    pub(crate) fn shift(&mut self, mut shift: impl FnMut(&mut Instant)) {
        for held in [&mut self.lock, &mut self.suspensions].into_iter().flatten() {
            shift(&mut held.until);
        }
        if let Some(standby) = &mut self.standby {
            shift(&mut standby.since);
            standby.settles_at.as_mut().map(&mut shift);
        }
    }
}

/// Between two orders of a kind, where nothing fails.
const AGAIN: Duration = Duration::from_secs(5);
/// An order that failed is given again after this long, doubled each time, up to [`SLOWEST`].
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// Nobody here can mend a refusal: a fleet must not repeat it each minute.
const FIRST_WAIT_REFUSED: Duration = Duration::from_secs(60);
const SLOWEST: Duration = Duration::from_secs(900);

impl Core {
    /// Brings Elastigroup closer to what is wanted of it. Nothing, where there is no token.
    pub(crate) fn mind_elastigroup(&mut self, now: Now, actions: &mut Vec<Action>) {
        let Some(settings) = self.settings.elastigroup.clone() else { return };
        self.protect(now.at, &settings, actions);
        self.leave_standby(now.at, actions);
        self.say_ready(now.at, &settings, actions);
        self.watch_own_state(now.at, actions);
    }

    /// Takes an answer in.
    pub(crate) fn elastigroup_replied(
        &mut self,
        now: Now,
        order: &Order,
        answer: Result<Reply, Failure>,
        actions: &mut Vec<Action>,
    ) {
        let Some(sent) = self.asks.answered(&Ask::Elastigroup(order.topic()), now.at, answer.as_ref().err()) else {
            return;
        };
        let answered = answer.as_ref().map(|_| ()).map_err(|failure| failure.kind);
        match order {
            Order::ReadGroup => self.group_read(answer),
            Order::Look => self.own_state_seen(now, sent, answer, actions),
            Order::Lock { .. } => Held::taken(&mut self.memory.elastigroup.lock, answered),
            Order::Unlock => Held::given_back(&mut self.memory.elastigroup.lock, answered),
            Order::Suspend { .. } => Held::taken(&mut self.memory.elastigroup.suspensions, answered),
            Order::Resume { .. } => Held::given_back(&mut self.memory.elastigroup.suspensions, answered),
            Order::EnterStandby => self.standby_entered(sent, now.at, answered),
            Order::ExitStandby => self.standby_left(sent, now.at, answered),
            Order::Signal(Signal::Ready) => self.ready_said(answer),
            Order::Signal(Signal::ReadyToShutdown) => {
                if answer.is_ok() {
                    self.said.insert(Ask::Elastigroup(Topic::Shutdown));
                }
            }
        }
    }

    /// Gives an order, unless one of its kind is under way, was given a moment ago, or failed a while ago; says whether
    /// it was given.
    fn order(&mut self, now: Instant, order: Order, every: Duration, actions: &mut Vec<Action>) -> bool {
        let ask = Ask::Elastigroup(order.topic());
        let every = every.max(self.patience(&ask));
        let given = self.asks.due(&ask, now, every);
        if given {
            actions.push(Action::Elastigroup(order));
        }
        given
    }

    /// How long to wait after the failures of `ask`.
    fn patience(&self, ask: &Ask) -> Duration {
        let Some((_, failure)) = self.asks.failure(ask) else { return Duration::ZERO };
        let first = if failure.kind.is_transient() { FIRST_WAIT } else { FIRST_WAIT_REFUSED };
        first.saturating_mul(1 << self.asks.failures(ask).saturating_sub(1).min(10)).min(SLOWEST)
    }
}
