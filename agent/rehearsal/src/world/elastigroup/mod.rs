//! The Elastigroup that the world's instances belong to: its API, and what it does with them by itself.
//!
//! Where Elastigroup's behaviour is not documented, [`GroupPlan`] says which answer this world gives.

mod api;
mod fate;
mod fault;
mod rate;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::targets::TargetId;

pub(super) use api::PREFIX;
pub use fate::{Choice, GroupReport, SignalRecord, Wish};
pub use fault::GroupFault;
use rate::Rate;

/// The group's id.
pub const GROUP: &str = "sig-0a1b2c3d";
/// The account's.
pub const ACCOUNT: &str = "act-0a1b2c3d";
/// The parameter that holds the token.
pub const TOKEN_PARAMETER: &str = "/rehearsal/elastigroup-token";

/// What the group declares, and how it behaves where that is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPlan {
    /// `strategy.drainingTimeout`
    pub draining_timeout: Duration,
    /// The signal INSTANCE_READY and its timeout.
    pub ready: Option<Duration>,
    /// The signal INSTANCE_READY_TO_SHUTDOWN and its timeout.
    pub shutdown: Option<Duration>,
    /// The instances are new: none is registered yet.
    pub launches: bool,
    /// Requests a minute that are allowed for each route.
    pub limit: u32,
    /// Whether a lock stops a preventive replacement, too.
    pub lock_stops_replacement: bool,
    /// Whether a suspension that runs can be prolonged.
    pub prolongs_suspensions: bool,
    /// Whether an instance that left standby is registered again.
    pub standby_gives_back: bool,
    /// The instance's tags come so long after the world.
    pub tags_after: Duration,
    /// How the API misbehaves.
    pub fault: Option<GroupFault>,
    /// The agents move traffic by standby.
    pub moves_traffic: bool,
}

impl Default for GroupPlan {
    fn default() -> Self {
        Self {
            draining_timeout: Duration::from_secs(180),
            ready: None,
            shutdown: Some(Duration::from_secs(300)),
            launches: false,
            limit: 300,
            lock_stops_replacement: false,
            prolongs_suspensions: true,
            standby_gives_back: true,
            tags_after: Duration::ZERO,
            fault: None,
            moves_traffic: false,
        }
    }
}

/// The group and its members.
#[derive(Debug)]
pub(super) struct Elastigroup {
    pub(super) plan: GroupPlan,
    /// The only token that is accepted.
    pub(super) token: String,
    members: BTreeMap<String, Member>,
    /// By process; `None`: without an end.
    suspensions: BTreeMap<String, Option<Instant>>,
    rate: Rate,
    born: Instant,
    signals: Vec<SignalRecord>,
    choices: Vec<Choice>,
    passed_over: BTreeSet<(u8, Wish)>,
    /// Who was locked, or in standby, at any time.
    protected: BTreeSet<u8>,
}

#[derive(Debug)]
struct Member {
    number: u8,
    life: Life,
    lock: Option<Lock>,
    standby: bool,
    /// What was taken out of target groups, to be put back.
    taken: Vec<(String, TargetId)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// Launched; gets no traffic before it says that it is ready.
    HeldBack,
    Active,
    Detached {
        until: Instant,
        may_go: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lock {
    WithoutEnd,
    Until(Instant),
}

impl Lock {
    fn holds(self, now: Instant) -> bool {
        match self {
            Lock::WithoutEnd => true,
            Lock::Until(until) => now < until,
        }
    }
}

impl Elastigroup {
    /// The group of these instances; `places`: where each is registered, or will be.
    pub(super) fn new(
        plan: GroupPlan,
        now: Instant,
        token: String,
        instances: impl Iterator<Item = (u8, String, Vec<(String, TargetId)>)>,
    ) -> Self {
        let held_back = plan.launches && plan.ready.is_some();
        let members = instances.map(|(number, id, places)| {
            let life = if held_back { Life::HeldBack } else { Life::Active };
            let taken = if held_back { places } else { Vec::new() };
            (id, Member { number, life, lock: None, standby: false, taken })
        });
        Self {
            rate: Rate::new(plan.limit),
            token,
            members: members.collect(),
            suspensions: BTreeMap::new(),
            born: now,
            signals: Vec::new(),
            choices: Vec::new(),
            passed_over: BTreeSet::new(),
            protected: BTreeSet::new(),
            plan,
        }
    }

    /// The tags that Elastigroup gives to its instances, once it does.
    pub(super) fn tags(&self, now: Instant) -> Option<[(String, String); 3]> {
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        (now >= self.born + self.plan.tags_after).then(|| {
            [
                tag("spotinst:aws:ec2:group:createdBy", "spotinst"),
                tag("spotinst:aws:ec2:group:id", GROUP),
                tag("spotinst:accountId", ACCOUNT),
            ]
        })
    }

    fn is_suspended(&self, process: &str, now: Instant) -> bool {
        self.suspensions.get(process).is_some_and(|ends| ends.is_none_or(|ends| now < ends))
    }
}

/// How many requests of a route there were in its busiest minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteLoad {
    /// Method and path.
    pub route: String,
    /// Requests in all.
    pub requests: usize,
    /// Requests in the busiest minute.
    pub busiest_minute: usize,
    /// Those that were answered 429.
    pub refused: usize,
}
