//! Looks how Elastigroup sees this instance, as often as the organization's allowance bears, and takes its detach for a
//! notice.

use std::time::Duration;

use super::{AGAIN, Declared, Life, Load, Order, Reply};
use crate::core::Core;
use crate::leaving::deadline;
use crate::lifecycle::LifecycleEvent;
use crate::memory::Lease;
use crate::notice::{Notice, NoticeKind};
use crate::time::{Instant, Now, WallTime, millis};
use crate::wire::{Action, Failure};

/// A fleet that starts at once asks slowly first, and faster where there is room.
const FIRST_PERIOD: Duration = Duration::from_secs(300);
const SHORTEST_PERIOD: Duration = Duration::from_secs(30);
const LONGEST_PERIOD: Duration = Duration::from_secs(1800);
/// Before a deployment returns to traffic: a drain by others could not be told from our own meanwhile.
const BEFORE_RETURNING: Duration = Duration::from_secs(30);
/// Right after every registration was seen to drain and nobody here asked for it, for so long.
const SUSPICIOUS: Duration = Duration::from_secs(180);
const WHILE_SUSPICIOUS: Duration = Duration::from_secs(5);
/// What the fleet's questions may use of the allowance, in percent; the rest is for orders that cannot wait.
const SHARE: u64 = 40;
/// However little of the hold is known to be left, leaving gets so much of it.
const SHORTEST_HOLD: Duration = Duration::from_secs(30);

/// What was learned from Elastigroup in this run.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) declared: Option<Declared>,
    /// The group cannot be read.
    pub(crate) group_refused: bool,
    pub(crate) life: Option<Life>,
    pub(crate) left_standby: Option<Instant>,
    /// When the latest question was sent whose answer was `Active`.
    active: Option<Instant>,
    period: Duration,
    next: Option<Instant>,
    looked: Option<Instant>,
    suspicious_since: Option<Instant>,
    /// Some group had this instance registered when it was last known to be in none.
    was_registered: bool,
}

impl Default for Watched {
    fn default() -> Self {
        Self {
            declared: None,
            group_refused: false,
            life: None,
            left_standby: None,
            active: None,
            period: FIRST_PERIOD,
            next: None,
            looked: None,
            suspicious_since: None,
            was_registered: false,
        }
    }
}

/// The period with which the whole fleet's questions would use their share, going by what was used with this one.
fn next_period(period: Duration, load: Option<Load>) -> Duration {
    let Some(Load { limit, used }) = load.filter(|load| load.limit > 0) else {
        return period.clamp(Duration::from_secs(60), LONGEST_PERIOD);
    };
    let fair = millis(period) * u64::from(used.max(1)) * 100 / (u64::from(limit) * SHARE);
    // One answer is one sample: no more than double or half at once.
    Duration::from_millis(fair.clamp(millis(period) / 2, millis(period) * 2)).clamp(SHORTEST_PERIOD, LONGEST_PERIOD)
}

impl Core {
    pub(super) fn watch_own_state(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.is_detached() {
            return self.learn_hold(now, actions);
        }
        if self.memory.leaving.is_some() {
            return;
        }
        let next = match self.watched.next {
            Some(next) => next,
            None => {
                // Anywhere in the first period: spread() gives its second half, half of that is any of it.
                let first = self.asks.spread(FIRST_PERIOD * 2).saturating_sub(FIRST_PERIOD);
                *self.watched.next.insert(now.after(first))
            }
        };
        let sooner = self.urgency(now).map(|every| self.watched.looked.map_or(now, |looked| looked.after(every)));
        let next = sooner.map_or(next, |sooner| sooner.min(next));
        if now < next {
            self.asks.wake_no_later_than(next);
        } else if self.order(now, Order::Look, WHILE_SUSPICIOUS, actions) {
            self.watched.looked = Some(now);
            self.watched.next = Some(now.after(self.asks.spread(self.watched.period)));
        }
    }

    fn urgency(&self, now: Instant) -> Option<Duration> {
        let suspicious = self.watched.suspicious_since.is_some_and(|since| now < since.after(SUSPICIOUS));
        let returns = |lease: &Lease| lease.last_event == LifecycleEvent::ValidateService;
        match (suspicious, self.memory.leases.values().any(returns)) {
            (true, _) => Some(WHILE_SUSPICIOUS),
            (false, true) => Some(BEFORE_RETURNING),
            (false, false) => None,
        }
    }

    /// Every registration drains or is gone, and nobody here asked for that: it is worth a look at once. Called with each
    /// observation, before anything is given back.
    pub(crate) fn suspect(&mut self, now: Instant) {
        let registered = self.groups.is_registered();
        let moved_here = !self.wanted.is_in() || !self.memory.leases.is_empty() || self.memory.is_out();
        let vanished = self.watched.was_registered && !registered && !moved_here;
        self.watched.was_registered = registered || (self.watched.was_registered && !moved_here);
        if vanished || self.is_drained_by_others() {
            self.watched.suspicious_since.get_or_insert(now);
        } else if self.watched.suspicious_since.is_some_and(|since| now >= since.after(SUSPICIOUS)) {
            self.watched.suspicious_since = None;
        }
    }

    /// Whether Elastigroup detached this instance.
    fn is_detached(&self) -> bool {
        let leaving = self.memory.leaving.as_ref();
        self.watched.life == Some(Life::Terminating)
            || leaving.is_some_and(|leaving| leaving.notices.iter().any(|n| n.kind == NoticeKind::Elastigroup))
    }

    /// What the group declares decides how long there is.
    fn learn_hold(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.watched.declared.is_none() && !self.watched.group_refused && !self.has_left() {
            self.order(now, Order::ReadGroup, AGAIN, actions);
        }
    }

    pub(super) fn own_state_seen(
        &mut self,
        now: Now,
        sent: Instant,
        answer: Result<Reply, Failure>,
        actions: &mut Vec<Action>,
    ) {
        match answer {
            Ok(Reply::Seen { life, load }) => {
                self.watched.period = next_period(self.watched.period, load);
                self.watched.next = Some(sent.after(self.asks.spread(self.watched.period)));
                if life == Life::Active {
                    self.watched.active = Some(sent);
                }
                let detached = life == Life::Terminating;
                if detached {
                    self.detach_seen(now, actions);
                }
                self.watched.life = Some(life);
            }
            Ok(Reply::Done | Reply::Group(_) | Reply::Signalled(_)) | Err(_) => {}
        }
    }

    pub(super) fn group_read(&mut self, answer: Result<Reply, Failure>) {
        match answer {
            Ok(Reply::Group(declared)) => {
                self.watched.declared = Some(declared);
                self.hold_learned();
            }
            Ok(Reply::Done | Reply::Seen { .. } | Reply::Signalled(_)) => {}
            Err(failure) => self.watched.group_refused |= !failure.kind.is_transient(),
        }
    }

    /// Elastigroup detached this instance: however often and in however many ways it is told, it is one notice.
    pub(crate) fn detach_seen(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.is_detached() {
            return;
        }
        let time = Some(self.hold_ends(now));
        self.notice_seen(now, Notice { kind: NoticeKind::Elastigroup, time }, actions);
    }

    /// The group's own words on how long it holds came after the notice.
    fn hold_learned(&mut self) {
        let Some(since) = self.memory.leaving.as_ref().map(|leaving| leaving.since) else { return };
        let ends = self.hold_ends(since);
        let Some(leaving) = &mut self.memory.leaving else { return };
        for notice in leaving.notices.iter_mut().filter(|notice| notice.kind == NoticeKind::Elastigroup) {
            notice.time = Some(ends);
        }
        let settings = &self.settings;
        if let Some(earliest) = leaving.notices.iter().map(|notice| deadline(settings, since, notice)).min() {
            leaving.deadline = earliest;
        }
    }

    /// When the instance is terminated at the earliest: it was detached after it was last seen active.
    fn hold_ends(&self, now: Now) -> WallTime {
        let hold = self.watched.declared.unwrap_or_default().hold();
        let known = self.watched.active.map_or(hold, |active| active.after(hold).remaining(now.at));
        let left = known.max(SHORTEST_HOLD.min(hold));
        WallTime(now.wall.0.saturating_add(millis(left)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fleet whose members all ask with one period, and see what all of them use.
    fn settle(instances: u64, limit: u32) -> Duration {
        let mut period = FIRST_PERIOD;
        for _ in 0..40 {
            let used = u32::try_from(instances * 60_000 / millis(period)).unwrap();
            period = next_period(period, Some(Load { limit, used }));
        }
        period
    }

    #[test]
    fn a_fleet_uses_its_share_of_the_allowance_whatever_its_size() {
        assert_eq!(settle(1, 600), SHORTEST_PERIOD);
        assert_eq!(settle(100, 600), SHORTEST_PERIOD);
        let period = settle(1000, 600);
        let used = 1000.0 * 60.0 / period.as_secs_f64();
        assert!((200.0..=260.0).contains(&used), "{used} requests a minute of 600");
        let period = settle(6_000, 600);
        let used = 6_000.0 * 60.0 / period.as_secs_f64();
        assert!((200.0..=260.0).contains(&used), "{used} requests a minute of 600: asks less often than at first");
    }

    #[test]
    fn without_a_word_on_the_allowance_a_minute_is_often_enough() {
        assert_eq!(next_period(SHORTEST_PERIOD, None), Duration::from_secs(60));
        assert_eq!(next_period(FIRST_PERIOD, None), FIRST_PERIOD);
        assert_eq!(
            next_period(FIRST_PERIOD, Some(Load { limit: 0, used: 5 })),
            FIRST_PERIOD,
            "an allowance of nothing"
        );
    }

    #[test]
    fn a_fleet_asks_as_often_as_its_share_of_the_allowance_bears() {
        let next = |seconds: u64, limit: u32, used: u32| {
            next_period(Duration::from_secs(seconds), Some(Load { limit, used })).as_secs()
        };
        assert_eq!(next(120, 100, 40), 120, "just its share");
        assert_eq!(next(120, 100, 60), 180, "half more than its share");
        assert_eq!(next(120, 100, 30), 90, "three quarters of it");
        assert_eq!(next(120, 100, 1_000), 240, "no more than double at once");
        assert_eq!(next(120, 100, 0), 60, "no less than half at once");
        assert_eq!((next(40, 100, 0), next(1_800, 100, 1_000)), (30, 1_800), "within bounds");
        assert_eq!((next(30, 0, 0), next(300, 0, 0)), (60, 300), "where no limit is told");
    }
}
