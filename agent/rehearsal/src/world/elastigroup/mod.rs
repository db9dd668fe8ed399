//! The Elastigroup that the world's instances belong to: its API, and what it does with them by itself.
//!
//! Where Elastigroup's behaviour is not documented, [`Unknown`] says which answer this world gives.

mod api;
mod fate;
mod fault;
mod rate;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::targets::TargetId;

pub use fate::{Choice, GroupReport, SignalRecord, Wish};
pub use fault::GroupFault;
use rate::Rate;
pub(super) use wire::PREFIX;

/// The group's id.
pub const GROUP: &str = "sig-0a1b2c3d";
/// The account's.
pub const ACCOUNT: &str = "act-0a1b2c3d";
/// The parameter that holds the token.
pub const TOKEN_PARAMETER: &str = "/pitcrew/elastigroup-token";

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
    /// The instance's tags come so long after the world.
    pub tags_after: Duration,
    /// Where nobody knows.
    pub unknown: Unknown,
    /// How the API misbehaves.
    pub fault: Option<GroupFault>,
    /// The agents move traffic by standby.
    pub moves_traffic: bool,
}

/// The answers that this world gives where Elastigroup's documents give none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Whether a lock stops a preventive replacement, too.
    pub lock_stops_replacement: bool,
    /// Whether a suspension that runs can be prolonged.
    pub prolongs_suspensions: bool,
    /// Whether an instance that left standby is registered again.
    pub standby_gives_back: bool,
    /// Whether an instance that has been registered nowhere for a while counts as unhealthy.
    pub heals_deregistered: bool,
    /// Whether a target that somebody else took out is put back after a while.
    pub puts_back: bool,
    /// Whether an instance that says too late that it is ready was replaced in the meantime.
    pub replaces_unready: bool,
    /// Whether a signal that the group does not declare, or that comes at a wrong time, is refused.
    pub refuses_signals: bool,
    /// Whether an instance that was detached is tagged so: an on-demand one is; of a Spot instance the request is.
    pub tags_detached: bool,
    /// Whether errors have bodies.
    pub explains_errors: bool,
    /// Whether an instance that serves is called by another word than ACTIVE.
    pub other_words: bool,
}

impl Default for Unknown {
    fn default() -> Self {
        Self {
            lock_stops_replacement: false,
            prolongs_suspensions: true,
            standby_gives_back: true,
            heals_deregistered: false,
            puts_back: false,
            replaces_unready: true,
            refuses_signals: false,
            tags_detached: false,
            explains_errors: true,
            other_words: false,
        }
    }
}

impl Unknown {
    /// The usual answers but for one, each in turn, with its name.
    pub fn each() -> [(&'static str, Self); 10] {
        let usual = Self::default();
        [
            ("a lock stops replacements", Self { lock_stops_replacement: true, ..usual.clone() }),
            ("no suspension is prolonged", Self { prolongs_suspensions: false, ..usual.clone() }),
            ("standby gives nothing back", Self { standby_gives_back: false, ..usual.clone() }),
            ("what is deregistered is healed", Self { heals_deregistered: true, ..usual.clone() }),
            ("what is deregistered is put back", Self { puts_back: true, ..usual.clone() }),
            ("nobody is replaced for being late", Self { replaces_unready: false, ..usual.clone() }),
            ("signals are refused", Self { refuses_signals: true, ..usual.clone() }),
            ("what is detached is tagged", Self { tags_detached: true, ..usual.clone() }),
            ("errors say nothing", Self { explains_errors: false, ..usual.clone() }),
            ("states have other words", Self { other_words: true, ..usual }),
        ]
    }
}

impl Default for GroupPlan {
    fn default() -> Self {
        Self {
            draining_timeout: Duration::from_secs(180),
            ready: None,
            shutdown: Some(Duration::from_secs(300)),
            launches: false,
            limit: 300,
            tags_after: Duration::ZERO,
            unknown: Unknown::default(),
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
    /// Whom somebody asked to be detached.
    to_detach: BTreeSet<u8>,
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
            to_detach: BTreeSet::new(),
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
