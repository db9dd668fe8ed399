//! A target group of one instance, as it truly is.

use pitcrew_core::time::Instant;
use pitcrew_core::wire::{Observation, Target, TargetState};

use crate::registration::{By, target};
use crate::world::TICK;

/// Deregistration delay.
pub(crate) const DELAY: u64 = 8 * TICK;
/// From a registration to the balancer's `healthy`.
const UNTIL_HEALTHY: u64 = 2 * TICK;
/// How long a request is in flight after its target was taken out.
const IN_FLIGHT: u64 = 3 * TICK;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truth {
    Registered { healthy_from: Instant },
    Draining { until: Instant },
    Absent,
}

#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) target: Target,
    pub(crate) truth: Truth,
    pub(crate) by: By,
    pub(crate) since: Instant,
    /// A request is in flight until then.
    pub(crate) open_until: Instant,
    /// What was shown before the latest change.
    pub(crate) before: Observation,
    pub(crate) peers: usize,
    pub(crate) healthy_peers: usize,
}

impl Group {
    pub(crate) fn new(port: u16, peers: usize) -> Self {
        let mut group = Self {
            target: target(port),
            truth: Truth::Registered { healthy_from: Instant(0) },
            by: By::Us,
            since: Instant(0),
            open_until: Instant(0),
            before: Observation::default(),
            peers,
            healthy_peers: peers,
        };
        group.before = group.observe(0, true);
        group
    }

    pub(crate) fn truth(&self, t: u64) -> Truth {
        match self.truth {
            Truth::Draining { until } if until.0 <= t => Truth::Absent,
            Truth::Registered { .. } | Truth::Draining { .. } | Truth::Absent => self.truth,
        }
    }

    pub(crate) fn is_registered(&self) -> bool {
        matches!(self.truth, Truth::Registered { .. })
    }

    /// A change takes effect; nothing where it is so already.
    pub(crate) fn change(&mut self, t: u64, register: bool, by: By, app_is_up: bool) {
        if self.is_registered() == register {
            return;
        }
        self.before = self.observe(t, app_is_up);
        (self.by, self.since) = (by, Instant(t));
        self.truth = if register {
            Truth::Registered { healthy_from: Instant(t + UNTIL_HEALTHY) }
        } else {
            self.open_until = Instant(t + IN_FLIGHT);
            Truth::Draining { until: Instant(t + DELAY) }
        };
    }

    pub(crate) fn observe(&self, t: u64, app_is_up: bool) -> Observation {
        let state = match self.truth(t) {
            Truth::Absent => None,
            Truth::Draining { .. } => Some(TargetState::Draining),
            Truth::Registered { healthy_from } if healthy_from.0 > t => Some(TargetState::Initial),
            Truth::Registered { .. } if app_is_up => Some(TargetState::Healthy),
            Truth::Registered { .. } => Some(TargetState::Unhealthy("Target.FailedHealthChecks".into())),
        };
        let own = state.map(|state| (self.target.clone(), state)).into_iter().collect();
        Observation { own, peers: self.peers, healthy_peers: self.healthy_peers }
    }

    /// Connections to the target's port from elsewhere.
    pub(crate) fn connections(&self, t: u64) -> usize {
        usize::from(self.is_registered() || self.open_until.0 > t)
    }
}
