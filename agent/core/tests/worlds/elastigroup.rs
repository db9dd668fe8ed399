//! Elastigroup as it truly is: what it was asked for, and what it did.

use std::collections::BTreeSet;
use std::time::Duration;

use pitcrew_core::elastigroup::{Declared, Life, Order, Process, ReadyAfter, Receipt, Reply, Settings};
use pitcrew_core::time::millis;
use pitcrew_core::wire::{Failure, Target};

use crate::balancer::By;
use crate::invariant::Invariant;
use crate::scenario::ElastigroupPlan;
use crate::world::{Checked, World};

/// What this instance has of its Elastigroup.
#[derive(Debug, Default)]
pub(crate) struct Spot {
    standby: bool,
    /// Group and targets that standby took out.
    took: Vec<(usize, Vec<Target>)>,
    pub(crate) detached: bool,
}

pub(crate) fn settings(plan: ElastigroupPlan) -> Settings {
    let suspend = if plan.suspends { BTreeSet::from([Process::AutoHealing]) } else { BTreeSet::new() };
    Settings { suspend, ready: ReadyAfter::Deployment }
}

impl World<'_> {
    /// Does as it is told.
    pub(crate) fn elastigroup(&mut self, order: &Order, by: By) -> Result<Reply, Failure> {
        match order {
            Order::ReadGroup => {
                let shutdown_timeout = Some(Duration::from_secs(120));
                return Ok(Reply::Group(Declared { shutdown_timeout, ..Declared::default() }));
            }
            Order::Look => {
                let life = if self.spot.detached { Life::Terminating } else { Life::Active };
                return Ok(Reply::Seen { life, load: None });
            }
            Order::Signal(_) => return Ok(Reply::Signalled(Receipt::default())),
            Order::EnterStandby => {
                self.spot.standby = true;
                for n in 0..self.groups.len() {
                    let t = self.t;
                    let targets = self.groups[n].targets().filter(|target| self.groups[n].is_registered(target, t));
                    let targets: Vec<Target> = targets.cloned().collect();
                    self.change(n, &targets, false, by);
                    self.spot.took.push((n, targets));
                }
            }
            Order::ExitStandby => {
                self.spot.standby = false;
                let registers = self.scenario.elastigroup.is_some_and(|plan| plan.registers);
                for (n, targets) in std::mem::take(&mut self.spot.took) {
                    if registers {
                        self.change(n, &targets, true, by);
                    }
                }
            }
            Order::Lock { .. } | Order::Unlock | Order::Suspend { .. } | Order::Resume { .. } => {}
        }
        Ok(Reply::Done)
    }

    pub(crate) fn check_order(&self, order: &Order) -> Checked {
        let memory = &self.memory;
        let kept = &memory.elastigroup;
        let deploys = memory.leases.values().any(|lease| lease.holds_traffic);
        let wanted_out = deploys || memory.hold.is_some();
        match order {
            Order::EnterStandby => {
                self.hold(Invariant::OneOwner, wanted_out, || format!("nobody wanted {order:?}"))?;
                self.hold(Invariant::WrittenBeforeTaken, kept.standby.is_some(), || format!("{order:?}"))
            }
            Order::ExitStandby => {
                self.hold(Invariant::NoReturnOnceLeaving, memory.leaving.is_none(), || format!("{order:?}"))?;
                self.hold(Invariant::OutWhileReplaced, !wanted_out, || format!("{order:?}"))
            }
            Order::Lock { minutes } | Order::Suspend { minutes, .. } => {
                let lasts = u64::from(*minutes) * 60_000;
                let patience = millis(self.settings.assume_dead_after);
                let longest = memory.leases.values().map(|lease| lease.heard.0 + patience).max();
                let enough = longest.is_some_and(|longest| self.now().at.0 + lasts >= longest);
                let ends = lasts <= 24 * 3_600_000;
                self.hold(Invariant::ProtectionsEnd, enough && ends, || {
                    format!("{order:?} does not end a while after {longest:?}")
                })
            }
            Order::Signal(_) | Order::ReadGroup | Order::Look | Order::Unlock | Order::Resume { .. } => Ok(()),
        }
    }

    /// Nothing is held any more, unless the instance stays out; what could not be given back ends by itself.
    pub(crate) fn check_protections(&self, stays_out: bool) -> Checked {
        let kept = &self.memory.elastigroup;
        let held = kept.lock.or(kept.suspensions);
        self.hold(Invariant::ProtectionsEnd, held.is_none(), || format!("{held:?} was not given back"))?;
        self.hold(Invariant::ProtectionsEnd, stays_out || !self.spot.standby, || "in standby for ever".into())
    }
}
