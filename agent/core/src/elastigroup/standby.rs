//! Standby as the way out of traffic, with the watchdog that it lacks: what keeps the instance in standby is a deployment
//! or a hold that is open here; without one, it leaves standby.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AGAIN, Order, Topic};
use crate::asks::Ask;
use crate::core::Core;
use crate::memory::{Change, SETTLES_WITHIN};
use crate::time::Instant;
use crate::wire::{Action, FailureKind, Owner, Target};

/// So long the application may take to get well; then Elastigroup, which heals nothing in standby, shall see it as it is.
const UNWELL: Duration = Duration::from_secs(60);
/// Elastigroup registers an instance that left standby within this time; or else it is registered from here.
const REGISTERS_WITHIN: Duration = Duration::from_secs(20);
/// What Elastigroup took out is seen to be out within this time.
const SHOWS_WITHIN: Duration = Duration::from_secs(30);
/// A call that is under way for so long is not waited for any more.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);
/// Calls that fail so often in a row are not waited for any more.
const FAILURES: u32 = 3;

/// The instance is in standby, or may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standby {
    /// When Elastigroup was asked for it.
    pub since: Instant,
    /// Whether Elastigroup said that it is so.
    pub sure: bool,
    /// Until then a call for it whose answer was lost may yet take effect; `None`: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settles_at: Option<Instant>,
}

impl Standby {
    /// Until when any call for it may yet take effect, the latest among them.
    fn settles_at(&self) -> Option<Instant> {
        self.settles_at.max((!self.sure).then(|| self.since.after(SETTLES_WITHIN)))
    }
}

const ASK: Ask = Ask::Elastigroup(Topic::Standby);

impl Core {
    /// Takes every registration of this instance out by standby, which knows no single ones: all must have been seen, and
    /// none be spared. `false`: that is not the way, or it does not work.
    pub(crate) fn enter_standby(&mut self, now: Instant, actions: &mut Vec<Action>) -> bool {
        if self.settings.owner != Some(Owner::Elastigroup) || self.memory.leaving.is_some() {
            return false;
        }
        if self.standby_fails(now) {
            return false;
        }
        if let Some(entered) = self.memory.elastigroup.standby.filter(|standby| standby.sure) {
            // Somebody puts it back in spite of standby: that is not Elastigroup's to undo.
            return now < entered.since.after(SHOWS_WITHIN);
        }
        let mut registered = Vec::new();
        for group in self.known_groups() {
            let Some(observed) = self.groups.fresh(&group, self.wanted_since) else { return true };
            if self.spares(observed, &self.wanted) {
                return true;
            }
            let own = self.own(&group).into_iter();
            let targets: Vec<Target> = own.filter(|target| self.may_be_in(&group, observed, target)).collect();
            registered.push((group, targets));
        }
        if self.order(now, Order::EnterStandby, AGAIN, actions) {
            let settles_at = self.memory.elastigroup.standby.and_then(|before| before.settles_at());
            self.memory.elastigroup.standby = Some(Standby { since: now, sure: false, settles_at });
            self.watched.left_standby = None;
            for (group, targets) in registered.iter().filter(|(_, targets)| !targets.is_empty()) {
                let delay = self.groups.delay(group);
                self.memory.remember_targets(group, delay, targets, now);
                self.groups.outdate(group, now);
            }
        }
        true
    }

    /// Whether Elastigroup is about to put back what is missing.
    pub(crate) fn standby_gives_back(&mut self, now: Instant) -> bool {
        match (self.memory.elastigroup.standby, self.watched.left_standby) {
            (Some(_), None) => !self.standby_fails(now),
            (_, Some(left)) => {
                let by = left.after(REGISTERS_WITHIN);
                let in_time = now < by;
                if in_time {
                    self.asks.wake_no_later_than(by);
                }
                in_time
            }
            (None, None) => false,
        }
    }

    /// Leaves standby where nothing keeps the instance in it. One that is being taken away stays: leaving standby would
    /// register it.
    pub(super) fn leave_standby(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let Some(standby) = self.memory.elastigroup.standby.filter(|_| self.wanted.is_in()) else { return };
        if let Some(settles_at) = standby.settles_at().filter(|at| self.watched.left_standby.is_some() && now < *at) {
            self.asks.wake_no_later_than(settles_at);
            return;
        }
        let gives_up = self.wanted_since.after(UNWELL);
        if now < gives_up && (!self.health.is_healthy() || self.blocked_by_codedeploy().is_some()) {
            self.asks.wake_no_later_than(gives_up);
            return;
        }
        if self.order(now, Order::ExitStandby, AGAIN, actions) {
            for (group, taken) in &mut self.memory.taken_out {
                taken.unsettle(Change::Registering, now);
                self.groups.outdate(group, now);
            }
        }
    }

    pub(super) fn standby_entered(&mut self, sent: Instant, now: Instant, answer: Result<(), FailureKind>) {
        let refused = is_refusal(answer);
        match &mut self.memory.elastigroup.standby {
            Some(standby) if answer.is_ok() => standby.sure = true,
            Some(standby) if answer == Err(FailureKind::Unavailable) => {
                standby.settles_at = Some(now.after(SETTLES_WITHIN));
            }
            // What a call before may have given, whose answer was lost or whose caller has died, is left all the same.
            Some(Standby { sure: false, settles_at: None, .. }) if refused => self.memory.elastigroup.standby = None,
            Some(_) | None => {}
        }
        self.moved(Change::Deregistered, sent, now, answer);
    }

    pub(super) fn standby_left(&mut self, sent: Instant, now: Instant, answer: Result<(), FailureKind>) {
        let never_was = is_refusal(answer) && self.memory.elastigroup.standby.is_some_and(|standby| !standby.sure);
        if answer.is_ok() || never_was {
            // What a lost call for it may yet bring about is left once more.
            self.memory.elastigroup.standby = self.memory.elastigroup.standby.and_then(|standby| {
                let settles_at = standby.settles_at().filter(|at| sent < *at)?;
                Some(Standby { since: standby.since, sure: false, settles_at: Some(settles_at) })
            });
            self.watched.left_standby = Some(now);
        }
        self.moved(Change::Registered, sent, now, answer);
    }

    /// Elastigroup has moved every registration, or may have.
    fn moved(&mut self, change: Change, sent: Instant, now: Instant, answer: Result<(), FailureKind>) {
        for (group, taken) in &mut self.memory.taken_out {
            self.groups.outdate(group, now);
            match answer {
                Ok(()) => taken.took_effect(change, sent, now),
                Err(FailureKind::Unavailable) => taken.unsettle(taken.latest, now),
                Err(FailureKind::Throttled | FailureKind::Denied | FailureKind::NotFound | FailureKind::Invalid) => {}
            }
        }
    }

    /// Whether Elastigroup does not do it, since traffic is wanted as it is: then this agent moves traffic itself.
    fn standby_fails(&mut self, now: Instant) -> bool {
        if let Some(sent) = self.asks.under_way_since(&ASK) {
            let late = sent.after(ANSWERS_WITHIN);
            if now >= late {
                return true;
            }
            self.asks.wake_no_later_than(late);
        }
        self.asks.failure(&ASK).is_some_and(|(at, failure)| {
            *at >= self.wanted_since && (!failure.kind.is_transient() || self.asks.failures(&ASK) >= FAILURES)
        })
    }
}

/// An answer that says that nothing was done.
fn is_refusal(answer: Result<(), FailureKind>) -> bool {
    match answer {
        Err(FailureKind::Denied | FailureKind::NotFound | FailureKind::Invalid) => true,
        Ok(()) | Err(FailureKind::Throttled | FailureKind::Unavailable) => false,
    }
}
