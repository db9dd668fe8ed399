//! Says once that the instance is ready: a group that declares the signal registers it only then.

use super::{AGAIN, Order, ReadyAfter, Reply, Settings, Signal};
use crate::core::Core;
use crate::memory::Ending;
use crate::time::Instant;
use crate::wire::{Action, Failure};

impl Core {
    pub(super) fn say_ready(&mut self, now: Instant, settings: &Settings, actions: &mut Vec<Action>) {
        let well = |ending: Ending| match ending {
            Ending::Succeeded | Ending::SucceededUnheard => true,
            Ending::HookFailed | Ending::Dead | Ending::AssumedDead | Ending::Superseded | Ending::Left => false,
        };
        self.memory.elastigroup.deployed |= self.memory.ended.iter().any(|ended| well(ended.how));
        if self.memory.elastigroup.ready.is_some() || !self.is_ready(settings.ready) {
            return;
        }
        let order = match self.watched.declared {
            // Most groups do not declare it: then it means nothing, and there is nothing to say.
            Some(declared) if declared.ready_timeout.is_none() => return,
            None if !self.watched.group_refused => Order::ReadGroup,
            Some(_) | None => Order::Signal(Signal::Ready),
        };
        self.order(now, order, AGAIN, actions);
    }

    fn is_ready(&self, after: ReadyAfter) -> bool {
        let stays = self.memory.leaving.is_none();
        let healthy = self.health.is_healthy() && self.memory.leases.is_empty();
        stays
            && match after {
                ReadyAfter::Deployment => healthy && self.memory.elastigroup.deployed,
                ReadyAfter::Health => healthy,
                ReadyAfter::Boot => true,
                ReadyAfter::Never => false,
            }
    }

    /// A signal that came too late is taken all the same; the receipt tells, and saying it again does not help.
    pub(super) fn ready_said(&mut self, answer: Result<Reply, Failure>) {
        match answer {
            Ok(Reply::Signalled(receipt)) => self.memory.elastigroup.ready = Some(receipt),
            Ok(Reply::Done | Reply::Group(_) | Reply::Seen { .. }) | Err(_) => {}
        }
    }
}
