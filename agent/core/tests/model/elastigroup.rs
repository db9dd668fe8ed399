//! Elastigroup as it truly is: what it was asked for, and what it did.

use std::time::Duration;

use pitcrew_core::elastigroup::{Declared, Life, Order, Receipt, Reply, Topic};
use pitcrew_core::time::millis;
use pitcrew_core::wire::Action;

use crate::balancer::By;
use crate::invariant::Invariant;
use crate::world::{Checked, World};

/// What this instance has of its Elastigroup.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spot {
    pub(crate) standby: bool,
    /// The groups that standby took it out of.
    took: Vec<usize>,
}

/// Whether an action moves traffic by standby.
pub(crate) fn is_standby(action: &Action) -> bool {
    matches!(action, Action::Elastigroup(order) if order.topic() == Topic::Standby)
}

impl World {
    /// Does as it is told.
    pub(crate) fn elastigroup(&mut self, order: &Order, by: By) -> Reply {
        match order {
            Order::ReadGroup => {
                let shutdown_timeout = Some(Duration::from_secs(120));
                return Reply::Group(Declared { shutdown_timeout, ..Declared::default() });
            }
            Order::Look => return Reply::Seen { life: Life::Active, load: None },
            Order::Signal(_) => return Reply::Signalled(Receipt::default()),
            Order::EnterStandby => {
                self.spot.standby = true;
                let took: Vec<usize> = (0..self.groups.len()).filter(|n| self.groups[*n].is_registered()).collect();
                took.iter().for_each(|n| self.change(*n, false, by));
                self.spot.took.extend(took);
            }
            Order::ExitStandby => {
                self.spot.standby = false;
                std::mem::take(&mut self.spot.took).into_iter().for_each(|n| self.change(n, true, by));
            }
            Order::Lock { .. } | Order::Unlock | Order::Suspend { .. } | Order::Resume { .. } => {}
        }
        Reply::Done
    }

    pub(crate) fn check_order(&self, order: &Order) -> Checked {
        let memory = &self.memory;
        let deploys = memory.leases.values().any(|lease| lease.holds_traffic);
        let wanted_out = deploys || memory.hold.is_some();
        match order {
            Order::EnterStandby => {
                self.hold(Invariant::OneOwner, wanted_out, || format!("nobody wanted {order:?}"))?;
                let written = memory.elastigroup.standby.is_some();
                self.hold(Invariant::WrittenBeforeTaken, written, || format!("{order:?}"))
            }
            Order::ExitStandby => {
                self.hold(Invariant::NoReturnOnceLeaving, memory.leaving.is_none(), || format!("{order:?}"))?;
                self.hold(Invariant::OutWhileReplaced, !wanted_out, || format!("{order:?}"))
            }
            Order::Lock { minutes } | Order::Suspend { minutes, .. } => {
                let lasts = u64::from(*minutes) * 60_000;
                let patience = millis(self.scene.settings.assume_dead_after);
                let longest = memory.leases.values().map(|lease| lease.heard.0 + patience).max();
                let enough = longest.is_some_and(|longest| self.t + lasts >= longest);
                let ends = lasts <= 24 * 3_600_000;
                self.hold(Invariant::ProtectionsEnd, enough && ends, || {
                    format!("{order:?} does not end a while after {longest:?}")
                })
            }
            Order::Signal(_) | Order::ReadGroup | Order::Look | Order::Unlock | Order::Resume { .. } => Ok(()),
        }
    }

    /// Nothing is held any more, unless the instance stays out.
    pub(crate) fn check_protections(&self, stays_out: bool) -> Checked {
        let kept = &self.memory.elastigroup;
        let held = kept.lock.or(kept.suspensions);
        self.hold(Invariant::ProtectionsEnd, held.is_none(), || format!("{held:?} was not given back"))?;
        self.hold(Invariant::ProtectionsEnd, stays_out || !self.spot.standby, || "in standby for ever".into())
    }
}
