//! Questions and orders that are under way outside: one of a kind at a time, repeated with patience.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::elastigroup::Topic;
use crate::ids::{DeploymentGroup, DeploymentId, TargetGroupArn};
use crate::time::{Instant, millis};
use crate::wire::{Failure, FailureKind};

/// What is asked or ordered, and of whom. A group is changed by one call at a time, in or out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ask {
    Discover,
    Observe(TargetGroupArn),
    Change(TargetGroupArn),
    Owner(DeploymentGroup),
    Deployment(DeploymentId),
    Replacement,
    Connections,
    Scripts,
    RemoveTags,
    Release,
    Elastigroup(Topic),
}

/// How each ask stands, and when the next one is due.
#[derive(Clone, Debug)]
pub(crate) struct Asks {
    standing: BTreeMap<Ask, Standing>,
    jitter: Jitter,
    wake: Option<Instant>,
    /// The time is short: patience with failures ends sooner.
    hurry: bool,
}

#[derive(Clone, Debug, Default)]
struct Standing {
    /// When the call under way was sent.
    under_way: Option<Instant>,
    /// When the latest call was sent, answered or not.
    asked: Option<Instant>,
    failures: u32,
    failure: Option<(Instant, Failure)>,
    not_before: Instant,
}

/// First wait after a failure that may pass; doubles up to [`SLOWEST`].
const FIRST_WAIT: Duration = Duration::from_millis(400);
const FIRST_WAIT_THROTTLED: Duration = Duration::from_secs(1);
const SLOWEST: Duration = Duration::from_secs(15);
/// The same while the instance leaves: one instance that asks this often harms nobody, one that leaves late does.
const SLOWEST_IN_A_HURRY: Duration = Duration::from_millis(1500);
/// An operator must mend it: look again at this pace.
const HOPELESS: Duration = Duration::from_secs(30);

impl Asks {
    pub(crate) fn new(seed: u64) -> Self {
        Self { standing: BTreeMap::new(), jitter: Jitter(seed), wake: None, hurry: false }
    }

    /// Whether to send `ask` now: none under way, none sooner than `every` after the one before, and what failed
    /// was waited for. Says yes at most once; the caller sends it. Says no: a wake-up is set for when it is due.
    pub(crate) fn due(&mut self, ask: &Ask, now: Instant, every: Duration) -> bool {
        let standing = self.standing.entry(ask.clone()).or_default();
        if standing.under_way.is_some() {
            return false;
        }
        let paced = standing.asked.map_or(Instant(0), |asked| asked.after(every));
        let due = paced.max(standing.not_before);
        if due > now {
            self.wake_no_later_than(due);
            return false;
        }
        standing.under_way = Some(now);
        standing.asked = Some(now);
        true
    }

    /// Takes the answer's outcome in; returns when the call had been sent, or `None` where none was under way.
    pub(crate) fn answered(&mut self, ask: &Ask, now: Instant, failure: Option<&Failure>) -> Option<Instant> {
        let standing = self.standing.get_mut(ask)?;
        let sent = standing.under_way.take()?;
        match failure {
            None => {
                standing.failures = 0;
                standing.failure = None;
                standing.not_before = now;
            }
            Some(failure) => {
                standing.failures = standing.failures.saturating_add(1);
                let slowest = if self.hurry { SLOWEST_IN_A_HURRY } else { SLOWEST };
                let wait = wait_after(standing.failures, failure.kind, slowest);
                standing.not_before = now.after(self.jitter.spread(wait));
                standing.failure = Some((now, failure.clone()));
            }
        }
        Some(sent)
    }

    /// Whether failures that come from now on are waited for less long.
    pub(crate) fn hurry(&mut self, hurry: bool) {
        self.hurry = hurry;
    }

    /// When the call under way was sent, where one is.
    pub(crate) fn under_way_since(&self, ask: &Ask) -> Option<Instant> {
        self.standing.get(ask)?.under_way
    }

    pub(crate) fn is_under_way(&self, ask: &Ask) -> bool {
        self.standing.get(ask).is_some_and(|standing| standing.under_way.is_some())
    }

    /// The latest failure of `ask`, where nothing has worked since.
    pub(crate) fn failure(&self, ask: &Ask) -> Option<&(Instant, Failure)> {
        self.standing.get(ask)?.failure.as_ref()
    }

    /// How often `ask` failed in a row.
    pub(crate) fn failures(&self, ask: &Ask) -> u32 {
        self.standing.get(ask).map_or(0, |standing| standing.failures)
    }

    /// All failures that nothing has mended yet.
    pub(crate) fn troubles(&self) -> impl Iterator<Item = (&Ask, &Failure)> {
        self.standing.iter().filter_map(|(ask, standing)| standing.failure.as_ref().map(|(_, failure)| (ask, failure)))
    }

    /// Forgets pace and failures of `ask`: the situation is a new one. A call under way stays under way.
    pub(crate) fn afresh(&mut self, ask: &Ask) {
        if let Some(standing) = self.standing.get_mut(ask) {
            *standing = Standing { under_way: standing.under_way, ..Standing::default() };
        }
    }

    pub(crate) fn forget(&mut self, ask: &Ask) {
        self.standing.remove(ask);
    }

    /// A time between half of `wait` and all of it, so that a fleet does not march in step.
    pub(crate) fn spread(&mut self, wait: Duration) -> Duration {
        self.jitter.spread(wait)
    }

    /// Asks to be stepped again by `instant`.
    pub(crate) fn wake_no_later_than(&mut self, instant: Instant) {
        self.wake = Some(self.wake.map_or(instant, |wake| wake.min(instant)));
    }

    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.wake
    }

    pub(crate) fn sleep(&mut self) {
        self.wake = None;
    }
}

fn wait_after(failures: u32, kind: FailureKind, slowest: Duration) -> Duration {
    let first = match kind {
        FailureKind::Throttled => FIRST_WAIT_THROTTLED,
        FailureKind::Unavailable => FIRST_WAIT,
        FailureKind::Denied | FailureKind::NotFound | FailureKind::Invalid => return HOPELESS,
    };
    first.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(slowest)
}

/// SplitMix64: enough to keep a fleet from marching in step, and the same for the same seed.
#[derive(Clone, Debug)]
struct Jitter(u64);

impl Jitter {
    /// Between half of `wait` and all of it.
    fn spread(&mut self, wait: Duration) -> Duration {
        let half = millis(wait) / 2;
        Duration::from_millis(half + self.next() % (half + 1))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = self.0;
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn failure(kind: FailureKind) -> Failure {
        Failure { kind, sentence: "no".into() }
    }

    #[test]
    fn one_of_a_kind_is_under_way_at_a_time() {
        let mut asks = Asks::new(1);
        assert!(asks.due(&Ask::Discover, Instant(0), SECOND));
        assert!(!asks.due(&Ask::Discover, Instant(5_000), SECOND), "still under way");
        assert!(asks.due(&Ask::Connections, Instant(5_000), SECOND), "another kind");
        assert_eq!(asks.answered(&Ask::Discover, Instant(5_000), None), Some(Instant(0)));
        assert!(asks.due(&Ask::Discover, Instant(5_000), SECOND));
    }

    #[test]
    fn an_answer_that_nobody_asked_for_is_known_as_such() {
        assert_eq!(Asks::new(1).answered(&Ask::Discover, Instant(0), None), None);
    }

    #[test]
    fn a_call_under_way_stays_so_when_its_pace_is_forgotten() {
        let mut asks = Asks::new(1);
        assert!(asks.due(&Ask::Discover, Instant(5), SECOND));
        asks.afresh(&Ask::Discover);
        assert!(!asks.due(&Ask::Discover, Instant(9), Duration::ZERO), "its answer would be taken for the new one's");
        assert_eq!(asks.answered(&Ask::Discover, Instant(9), None), Some(Instant(5)));
    }

    #[test]
    fn what_is_not_due_sets_a_wake_up() {
        let mut asks = Asks::new(1);
        assert!(asks.due(&Ask::Discover, Instant(0), SECOND));
        asks.answered(&Ask::Discover, Instant(10), None);
        assert!(!asks.due(&Ask::Discover, Instant(10), SECOND));
        assert_eq!(asks.wake_at(), Some(Instant(1000)));
    }

    #[test]
    fn failures_that_may_pass_are_waited_for_longer_each_time_up_to_a_bound() {
        let mut asks = Asks::new(7);
        let mut now = Instant(0);
        let mut waits = Vec::new();
        for _ in 0..12 {
            assert!(asks.due(&Ask::Discover, now, Duration::ZERO));
            asks.answered(&Ask::Discover, now, Some(&failure(FailureKind::Unavailable)));
            asks.sleep();
            assert!(!asks.due(&Ask::Discover, now, Duration::ZERO));
            let due = asks.wake_at().unwrap();
            waits.push(due.since(now));
            now = due;
        }
        assert!(waits[0] >= FIRST_WAIT / 2 && waits[0] <= FIRST_WAIT);
        assert!(waits.iter().all(|wait| *wait <= SLOWEST));
        assert!(waits[11] >= SLOWEST / 2);
        asks.hurry(true);
        assert!(asks.due(&Ask::Discover, now, Duration::ZERO));
        asks.answered(&Ask::Discover, now, Some(&failure(FailureKind::Throttled)));
        asks.sleep();
        assert!(!asks.due(&Ask::Discover, now, Duration::ZERO));
        assert!(asks.wake_at().unwrap().since(now) <= SLOWEST_IN_A_HURRY, "not when the time is short");
    }

    #[test]
    fn a_fleet_is_spread_over_the_second_half_of_a_wait() {
        let waits: Vec<u64> = (0..1_000).map(|seed| millis(Asks::new(seed).spread(60 * SECOND))).collect();
        assert!(waits.iter().all(|wait| (30_000..=60_000).contains(wait)));
        for quarter in 0..4_u64 {
            let from = 30_000 + quarter * 7_500;
            let inside = waits.iter().filter(|wait| (from..from + 7_500).contains(*wait)).count();
            assert!((180..=320).contains(&inside), "{inside} of 1000 between {from} and {} ms", from + 7_500);
        }
    }

    #[test]
    fn jitter_is_splitmix64() {
        let mut jitter = Jitter(1_234_567);
        let published = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([(); 3].map(|()| jitter.next()), published);
    }

    #[test]
    fn the_shortest_waits_are_spread_too_and_none_stays_none() {
        let mut jitter = Jitter(1);
        let waits: std::collections::BTreeSet<_> =
            (0..100).map(|_| millis(jitter.spread(Duration::from_millis(2)))).collect();
        assert_eq!(waits.into_iter().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(jitter.spread(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn one_agent_does_not_wait_the_same_twice() {
        let mut asks = Asks::new(1);
        let waits: std::collections::BTreeSet<_> = (0..100).map(|_| asks.spread(60 * SECOND)).collect();
        assert!(waits.len() > 90, "{} of 100", waits.len());
    }
}
