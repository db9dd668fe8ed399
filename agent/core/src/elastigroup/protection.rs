//! The lock and the suspensions: taken while a deployment is open, renewed before they end, given back after the last.
//! Each carries an end of its own, so that an agent that dies leaves nothing behind for long.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AGAIN, Order, Process, Settings, Topic};
use crate::asks::Ask;
use crate::core::Core;
use crate::time::{Instant, millis};
use crate::wire::{Action, FailureKind};

/// A protection is asked for so much longer than it is needed: it is renewed as often, and no more.
const SLACK: Duration = Duration::from_secs(600);
/// An open deployment is protected for at least so long, however long it has been silent.
const AT_LEAST: Duration = Duration::from_secs(600);
/// Another instance of the group may have ended the suspensions: look again.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// The answer to the lock is waited for so long before the group's processes are suspended.
const LOCKED_WITHIN: Duration = Duration::from_secs(15);

/// A protection that Elastigroup was asked for, and that it may have given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// By then it is over, whatever was answered.
    pub until: Instant,
    /// Whether Elastigroup said that it gave it.
    pub sure: bool,
}

/// What is to be done about a protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    Take { minutes: u32 },
    GiveBack,
    Forget,
}

impl Held {
    pub(super) fn taken(held: &mut Option<Self>, answer: Result<(), FailureKind>) {
        if let Some(held) = held {
            held.sure = answer.is_ok();
        }
    }

    /// A refusal to give back is the end of it, too: there is nothing to give back, or it ends by itself.
    pub(super) fn given_back(held: &mut Option<Self>, answer: Result<(), FailureKind>) {
        match answer {
            Ok(()) | Err(FailureKind::Denied | FailureKind::NotFound | FailureKind::Invalid) => *held = None,
            Err(FailureKind::Throttled | FailureKind::Unavailable) => {}
        }
    }
}

fn step(held: Option<Held>, needed_until: Option<Instant>, now: Instant) -> Step {
    let lasts = |needed: Instant| held.is_some_and(|held| held.sure && held.until >= needed);
    match (held, needed_until) {
        (_, Some(needed)) if !lasts(needed) => Step::Take { minutes: minutes(needed.remaining(now) + SLACK) },
        (Some(_), Some(_)) | (None, _) => Step::Nothing,
        (Some(held), None) if held.until <= now => Step::Forget,
        (Some(_), None) => Step::GiveBack,
    }
}

/// Whole minutes, rounded up: Elastigroup counts in them.
fn minutes(time: Duration) -> u32 {
    u32::try_from(millis(time).div_ceil(60_000)).unwrap_or(u32::MAX)
}

impl Core {
    pub(super) fn protect(&mut self, now: Instant, settings: &Settings, actions: &mut Vec<Action>) {
        let needed = self.needs_protection_until(now);
        let held = self.memory.elastigroup.lock;
        match step(held, needed, now) {
            Step::Nothing => {}
            Step::Take { minutes } => {
                if self.order(now, Order::Lock { minutes }, AGAIN, actions) {
                    self.memory.elastigroup.lock = Some(asked_for(held, minutes, now));
                }
            }
            Step::GiveBack => {
                self.order(now, Order::Unlock, AGAIN, actions);
            }
            Step::Forget => self.memory.elastigroup.lock = None,
        }
        self.suspend(now, needed, settings, actions);
        let held = [self.memory.elastigroup.lock, self.memory.elastigroup.suspensions];
        for held in held.into_iter().flatten() {
            self.asks.wake_no_later_than(held.until);
        }
    }

    fn suspend(&mut self, now: Instant, needed: Option<Instant>, settings: &Settings, actions: &mut Vec<Action>) {
        let processes: Vec<Process> = settings.suspend.iter().copied().collect();
        let needed = needed.filter(|_| !processes.is_empty());
        let held = self.memory.elastigroup.suspensions;
        let (minutes, every) = match (step(held, needed, now), needed) {
            (Step::Take { minutes }, _) => (minutes, AGAIN),
            (Step::Nothing, Some(needed)) => (minutes(needed.remaining(now)), LOOK_AGAIN),
            (Step::Nothing, None) => return,
            (Step::GiveBack, _) => {
                // What the settings no longer name may have been suspended before a restart.
                let processes = if processes.is_empty() { Process::ALL.to_vec() } else { processes };
                let minutes = held.map_or(0, |held| minutes(held.until.remaining(now)));
                self.order(now, Order::Resume { processes, minutes }, AGAIN, actions);
                return;
            }
            (Step::Forget, _) => {
                self.memory.elastigroup.suspensions = None;
                return;
            }
        };
        if self.is_being_locked(now) {
            return;
        }
        if self.order(now, Order::Suspend { processes, minutes }, every, actions) {
            self.memory.elastigroup.suspensions = Some(asked_for(held, minutes, now));
        }
    }

    /// The lock comes first: by it, another instance that ends the suspensions sees that they are still needed.
    fn is_being_locked(&mut self, now: Instant) -> bool {
        let Some(sent) = self.asks.under_way_since(&Ask::Elastigroup(Topic::Lock)) else { return false };
        let late = sent.after(LOCKED_WITHIN);
        let may_come = now < late;
        if may_come {
            self.asks.wake_no_later_than(late);
        }
        may_come
    }

    /// When the last of the open deployments is over at the latest, by what is known of it now.
    fn needs_protection_until(&self, now: Instant) -> Option<Instant> {
        if self.memory.leaving.is_some() {
            return None;
        }
        let heard = self.memory.leases.values().map(|lease| lease.heard).max()?;
        Some(heard.after(self.settings.assume_dead_after).max(now.after(AT_LEAST)))
    }
}

/// What may be held from now on. An answer may be lost: the later end counts.
fn asked_for(held: Option<Held>, minutes: u32, now: Instant) -> Held {
    let until = now.after(Duration::from_secs(60 * u64::from(minutes)));
    Held { until: held.map_or(until, |held| held.until.max(until)), sure: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    fn held(until: u64, sure: bool) -> Option<Held> {
        Some(Held { until: Instant(until), sure })
    }

    #[test]
    fn a_protection_outlasts_the_deployment_and_is_given_back_after_it() {
        let table = [
            (None, None, Step::Nothing),
            (None, Some(70 * MINUTE), Step::Take { minutes: 80 }),
            (None, Some(MINUTE / 2), Step::Take { minutes: 11 }),
            (held(80 * MINUTE, true), Some(79 * MINUTE), Step::Nothing),
            (held(80 * MINUTE, true), Some(81 * MINUTE), Step::Take { minutes: 91 }),
            (held(80 * MINUTE, false), Some(70 * MINUTE), Step::Take { minutes: 80 }),
            (held(80 * MINUTE, false), None, Step::GiveBack),
            (held(80 * MINUTE, true), None, Step::GiveBack),
            (held(0, true), None, Step::Forget),
        ];
        for (held, needed, expected) in table {
            assert_eq!(step(held, needed.map(Instant), Instant(0)), expected, "{held:?} {needed:?}");
        }
    }

    #[test]
    fn a_lost_answer_to_the_unlock_is_asked_for_again_and_a_refusal_is_not() {
        for (answer, kept) in [
            (Ok(()), false),
            (Err(FailureKind::Unavailable), true),
            (Err(FailureKind::Throttled), true),
            (Err(FailureKind::Denied), false),
            (Err(FailureKind::NotFound), false),
        ] {
            let mut lock = held(5, true);
            Held::given_back(&mut lock, answer);
            assert_eq!(lock.is_some(), kept, "{answer:?}");
        }
    }
}
