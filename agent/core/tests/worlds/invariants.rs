//! The seeded worlds as the invariants see them, and what must be so at their end.

use std::collections::BTreeMap;

use pitcrew_core::ids::{CallId, TargetGroupArn};
use pitcrew_core::memory::Memory;
use pitcrew_core::settings::Settings;
use pitcrew_core::time::{Instant, Now, WallTime, millis};
use pitcrew_core::wire::{Action, Observation, Owner, TargetState};

use crate::balancer::Truth;
use crate::codedeploy::Deployment;
use crate::invariant::Invariant;
use crate::laws::{Caller, Checked, Judged};
use crate::outside::number;
use crate::registration::By;
use crate::world::{EPOCH, World};

/// What others change is seen within this time, as long as nothing goes wrong.
const SEEN_WITHIN: u64 = 70_000;
/// Connections are counted so often: one that is shorter may be missed.
const COUNTED_EVERY: u64 = 300;

impl Judged for World<'_> {
    fn t(&self) -> u64 {
        self.t
    }

    fn now(&self) -> Now {
        Now { at: Instant(self.t - self.boot), wall: WallTime(EPOCH + self.t) }
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn owner(&self, deployment: usize) -> Owner {
        self.deployments[deployment].owner
    }

    fn replaces(&self) -> bool {
        self.deployments.iter().any(|deployment| deployment.replacing)
    }

    fn seen(&self, group: &TargetGroupArn) -> Option<&Observation> {
        self.seen.get(&number(group))
    }

    fn calls(&self) -> &BTreeMap<CallId, Caller> {
        &self.calls
    }

    fn is_registering(&self) -> bool {
        self.is_coming(|action| matches!(action, Action::Register { .. }))
    }

    fn is_in_standby(&self) -> bool {
        self.spot.standby
    }

    fn check_drained(&self) -> Checked {
        for (n, group) in self.groups.iter().enumerate() {
            for target in group.targets() {
                let (since, truth, by) = group.truth(target, self.t);
                let recent = self.t.saturating_sub(since) < SEEN_WITHIN;
                if recent && (by == By::Others || by == By::OurGhost) {
                    continue;
                }
                let drained = match truth {
                    Truth::Absent => true,
                    Truth::Registered { .. } => false,
                    Truth::Draining { .. } => {
                        let quiet = millis(self.settings.quiet_period);
                        self.scenario.countable
                            && self.t >= since + millis(self.settings.settle) + quiet
                            && !self.was_open(n, target.port, self.t.saturating_sub(quiet - COUNTED_EVERY), self.t)
                    }
                };
                self.hold(Invariant::DrainedBeforeDone, drained, || {
                    format!("g{n} port {} is {truth:?} since {since}, by {by:?}", target.port)
                })?;
            }
        }
        Ok(())
    }
}

impl World<'_> {
    /// Nobody waits too long, what was promised stands, and something is scheduled.
    pub(crate) fn check_waiting(&self) -> Checked {
        self.check_calls()?;
        self.hold(Invariant::Lives, self.is_alive(), || "nothing is scheduled and nothing under way".into())
    }

    /// What must be so a while after the last trouble.
    pub(crate) fn check_end(&self) -> Checked {
        let memory = &self.memory;
        self.hold(Invariant::NothingStranded, self.deployments.iter().all(Deployment::is_over), || {
            "a deployment never ended".into()
        })?;
        self.hold(Invariant::NothingStranded, memory.leases.is_empty(), || format!("open: {:?}", memory.leases))?;
        let stays_out = memory.leaving.is_some() || memory.hold.is_some();
        self.check_protections(stays_out)?;
        self.hold(Invariant::NothingStranded, stays_out || memory.taken_out.is_empty(), || {
            format!("not given back: {:?}", memory.taken_out)
        })?;
        for (n, group) in self.groups.iter().enumerate() {
            let shown = group.observe(self.t, 0, |t| self.app_is_up(t));
            for target in group.targets() {
                let (_, _, by) = group.truth(target, self.t);
                let right = if stays_out {
                    !group.is_registered(target, self.t)
                } else {
                    shown.own.get(target) == Some(&TargetState::Healthy)
                        || (by == By::Others && !group.is_registered(target, self.t))
                };
                self.hold(Invariant::NothingStranded, right, || {
                    format!("g{n} port {}: {:?}", target.port, shown.own.get(target))
                })?;
            }
        }
        Ok(())
    }
}
