//! Target groups as they truly are, and as an eventually consistent `DescribeTargetHealth` shows them.

use std::collections::BTreeMap;

use pitcrew_core::wire::{Observation, Target, TargetState};

use crate::registration::{By, target};
use crate::scenario::GroupPlan;

/// One registration's truth since a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    Registered {
        healthy_from: u64,
    },
    /// Until the deregistration delay is over; absent after that.
    Draining {
        until: u64,
    },
    Absent,
}

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) plan: GroupPlan,
    pub(crate) healthy_peers: usize,
    /// What each registration was, since when, and who made it so; oldest first.
    history: BTreeMap<Target, Vec<(u64, Truth, By)>>,
}

impl Group {
    pub(crate) fn new(plan: &GroupPlan) -> Self {
        let history =
            plan.ports.iter().map(|port| (target(*port), vec![(0, Truth::Registered { healthy_from: 0 }, By::Us)]));
        Self { healthy_peers: plan.healthy_peers, history: history.collect(), plan: plan.clone() }
    }

    pub(crate) fn targets(&self) -> impl Iterator<Item = &Target> {
        self.history.keys()
    }

    /// What `target` is at `t`, since when, and who made it so.
    pub(crate) fn truth(&self, target: &Target, t: u64) -> (u64, Truth, By) {
        let known = self.history.get(target).and_then(|all| all.iter().rev().find(|(since, ..)| *since <= t));
        match known {
            Some((_, Truth::Draining { until }, by)) if *until <= t => (*until, Truth::Absent, *by),
            Some(known) => *known,
            None => (0, Truth::Absent, By::Others),
        }
    }

    pub(crate) fn is_registered(&self, target: &Target, t: u64) -> bool {
        match self.truth(target, t).1 {
            Truth::Registered { .. } => true,
            Truth::Draining { .. } | Truth::Absent => false,
        }
    }

    /// Returns the ports that began to drain.
    pub(crate) fn deregister(&mut self, targets: &[Target], t: u64, by: By) -> Vec<u16> {
        let mut began = Vec::new();
        for target in targets.iter().filter(|target| self.is_registered(target, t)).cloned().collect::<Vec<_>>() {
            began.push(target.port);
            self.note(target, t, Truth::Draining { until: t + self.plan.delay }, by);
        }
        began
    }

    pub(crate) fn register(&mut self, targets: &[Target], t: u64, by: By) {
        for target in targets.iter().filter(|target| !self.is_registered(target, t)).cloned().collect::<Vec<_>>() {
            self.note(target, t, Truth::Registered { healthy_from: t + self.plan.until_healthy }, by);
        }
    }

    fn note(&mut self, target: Target, t: u64, truth: Truth, by: By) {
        self.history.entry(target).or_default().push((t, truth, by));
    }

    /// What is shown at `now` by a replica that is `lag` behind.
    pub(crate) fn observe(&self, now: u64, lag: u64, app_is_up: impl Fn(u64) -> bool) -> Observation {
        let then = now.saturating_sub(lag);
        let state = |target: &Target| match self.truth(target, then).1 {
            Truth::Absent => None,
            Truth::Draining { .. } => Some(TargetState::Draining),
            Truth::Registered { healthy_from } if healthy_from > then => Some(TargetState::Initial),
            Truth::Registered { .. } if app_is_up(then) => Some(TargetState::Healthy),
            Truth::Registered { .. } => Some(TargetState::Unhealthy("Target.FailedHealthChecks".into())),
        };
        let own = self.targets().filter_map(|target| Some((target.clone(), state(target)?))).collect();
        Observation { own, peers: self.plan.peers, healthy_peers: self.healthy_peers }
    }
}
