//! Elastigroup as it truly is: what it was asked for, and what it did.

use std::time::Duration;

use pitcrew_core::elastigroup::{Declared, Life, Order, Receipt, Reply, Topic};
use pitcrew_core::wire::Action;

use crate::registration::By;
use crate::world::World;

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
}
