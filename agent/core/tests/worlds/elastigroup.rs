//! Elastigroup as it truly is: what it was asked for, and what it did.

use std::collections::BTreeSet;
use std::time::Duration;

use pitcrew_core::elastigroup::{Declared, Life, Order, Process, ReadyAfter, Receipt, Reply, Settings};
use pitcrew_core::wire::{Failure, Target};

use crate::registration::By;
use crate::scenario::ElastigroupPlan;
use crate::world::World;

/// What this instance has of its Elastigroup.
#[derive(Debug, Default)]
pub(crate) struct Spot {
    pub(crate) standby: bool,
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
}
