//! The stage's target groups.

use std::collections::BTreeMap;
use std::time::Duration;

use pitcrew_core::ids::TargetGroupArn;
use pitcrew_core::wire::{Observation, Target, TargetState};

use super::{Stage, secs};

/// The balancer's checks take so long to find a registered target healthy.
const UNTIL_HEALTHY: u64 = 3_000;

#[derive(Debug)]
pub(super) enum Registration {
    Registered { since: u64 },
    Draining { until: u64 },
}

/// A target group of the stage.
#[derive(Debug)]
pub(crate) struct Group {
    pub(super) registrations: BTreeMap<Target, Registration>,
    pub(super) delay: Duration,
    pub(crate) peers: usize,
    pub(crate) healthy_peers: usize,
}

impl Stage {
    /// Adds a group that holds this instance at `ports`, beside one healthy peer; 300 s deregistration delay.
    pub(crate) fn group(mut self, name: &str, ports: &[u16]) -> Self {
        let registrations = ports.iter().map(|port| (target(*port), Registration::Registered { since: 0 })).collect();
        let group = Group { registrations, delay: secs(300), peers: 1, healthy_peers: 1 };
        self.groups.insert(name.into(), group);
        self
    }

    pub(crate) fn delay(mut self, delay: Duration) -> Self {
        self.groups.values_mut().for_each(|group| group.delay = delay);
        self
    }

    pub(crate) fn peers(mut self, peers: usize, healthy: usize) -> Self {
        for group in self.groups.values_mut() {
            (group.peers, group.healthy_peers) = (peers, healthy);
        }
        self
    }

    /// Somebody else registers this instance.
    pub(crate) fn put_back(&mut self, group: &str, port: u16) {
        let since = self.now;
        self.at(group).registrations.insert(target(port), Registration::Registered { since });
    }

    /// Somebody else, or CodeDeploy, deregisters this instance.
    pub(crate) fn take_away(&mut self, group: &str, port: u16) {
        self.at(group).registrations.remove(&target(port));
    }

    /// The same, and the group still shows the target while it drains.
    pub(crate) fn drain_away(&mut self, group: &str, port: u16) {
        let until = self.now + self.at(group).delay.as_millis() as u64;
        self.at(group).registrations.insert(target(port), Registration::Draining { until });
    }

    /// From now on looks show what is now, whatever changes, until [`Stage::looks_catch_up`].
    pub(crate) fn looks_fall_behind(&mut self) {
        let (now, well) = (self.now, self.app_is_well);
        self.stale = self.groups.iter().map(|(arn, group)| (arn.clone(), group.observe(now, well))).collect();
    }

    pub(crate) fn looks_catch_up(&mut self) {
        self.stale.clear();
    }

    pub(crate) fn at(&mut self, group: &str) -> &mut Group {
        self.groups.get_mut(&group.into()).unwrap()
    }

    pub(crate) fn ports_in(&self, group: &str) -> Vec<u16> {
        let registered = |registration: &Registration| match registration {
            Registration::Registered { .. } => true,
            Registration::Draining { .. } => false,
        };
        let group = &self.groups[&group.into()];
        group.registrations.iter().filter(|(_, r)| registered(r)).map(|(target, _)| target.port).collect()
    }

    pub(super) fn change(&mut self, group: &TargetGroupArn, targets: Vec<Target>, register: bool) {
        let now = self.now;
        let Some(group) = self.groups.get_mut(group) else { return };
        let until = now + group.delay.as_millis() as u64;
        for target in targets {
            match group.registrations.get(&target) {
                Some(Registration::Registered { .. }) if register => {}
                Some(Registration::Registered { .. }) => {
                    group.registrations.insert(target, Registration::Draining { until });
                }
                Some(Registration::Draining { .. }) | None if register => {
                    group.registrations.insert(target, Registration::Registered { since: now });
                }
                Some(Registration::Draining { .. }) | None => {}
            }
        }
    }
}

impl Group {
    pub(super) fn observe(&self, now: u64, app_is_well: bool) -> Observation {
        let state = |registration: &Registration| match registration {
            Registration::Draining { until } => (*until > now).then_some(TargetState::Draining),
            Registration::Registered { since } if *since > 0 && *since + UNTIL_HEALTHY > now => {
                Some(TargetState::Initial)
            }
            Registration::Registered { .. } if app_is_well => Some(TargetState::Healthy),
            Registration::Registered { .. } => Some(TargetState::Unhealthy("Target.FailedHealthChecks".into())),
        };
        let own = self.registrations.iter().filter_map(|(target, r)| Some((target.clone(), state(r)?))).collect();
        Observation { own, peers: self.peers, healthy_peers: self.healthy_peers }
    }
}

pub(crate) fn target(port: u16) -> Target {
    Target { id: "i-1".into(), port, zone: None }
}
