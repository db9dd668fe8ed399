//! The allowance that a whole organization shares, as far as one member of the fleet can keep it.
//!
//! Elastigroup counts by route and method over a sliding minute. What one agent asks for is bounded by itself, questions
//! leave a reserve to orders, and after a 429 a route stays closed until it is reset and anywhere in a while after that.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use http::Method;
use pitcrew_core::wire::FailureKind;
use tokio::time::Instant;

use super::api::{Allowance, Refusal};

const MINUTE: Duration = Duration::from_secs(60);
/// What one agent asks in a minute, of all routes together.
const OWN: usize = 40;
/// Of what the organization may ask, the last part is kept for orders, in percent.
const RESERVE: u32 = 20;
/// After a 429 the fleet comes back anywhere within this time; doubled by each more in a row, up to [`WIDEST`].
const SPREAD: Duration = Duration::from_secs(10);
const WIDEST: Duration = Duration::from_secs(80);

/// A method and a path with `{}` in it: what Elastigroup counts by.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
}

/// Whether something can wait for its next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// A look that comes again.
    Question,
    /// Something that is wanted now.
    Order,
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It may, and counts.
    Now,
    /// Not before so long.
    After(Duration),
}

/// What is known of the allowance.
pub(super) struct Budget(Mutex<Books>);

struct Books {
    random: Rng,
    /// When this agent's latest calls were made.
    own: VecDeque<Instant>,
    routes: BTreeMap<(String, &'static str), Standing>,
}

#[derive(Default)]
struct Standing {
    closed_until: Option<Instant>,
    /// Questions wait until then.
    reserved_until: Option<Instant>,
    refusals: u32,
}

impl Budget {
    pub(super) fn new(seed: u64) -> Self {
        Self(Mutex::new(Books { random: Rng::with_seed(seed), own: VecDeque::new(), routes: BTreeMap::new() }))
    }

    pub(super) fn admit(&self, route: &Route, urgency: Urgency) -> Admission {
        let now = Instant::now();
        let mut books = self.books();
        books.own.retain(|made| now.duration_since(*made) < MINUTE);
        let own = books.own.front().filter(|_| books.own.len() >= OWN).map(|first| *first + MINUTE);
        let standing = books.standing(route);
        let reserved = standing.reserved_until.filter(|_| urgency == Urgency::Question);
        match [own, standing.closed_until, reserved].into_iter().flatten().max() {
            Some(until) if until > now => Admission::After(until - now),
            Some(_) | None => {
                books.own.push_back(now);
                Admission::Now
            }
        }
    }

    pub(super) fn answered(&self, route: &Route, allowance: &Allowance) {
        let now = Instant::now();
        let mut books = self.books();
        let spread = books.up_to(SPREAD);
        let standing = books.standing(route);
        standing.refusals = 0;
        standing.closed_until = None;
        let scarce = allowance.limit.zip(allowance.remaining);
        let scarce =
            scarce.is_some_and(|(limit, remaining)| remaining.saturating_mul(100) <= limit.saturating_mul(RESERVE));
        standing.reserved_until = scarce.then(|| now + allowance.reset.unwrap_or(MINUTE) + spread);
    }

    /// Asking early would only postpone the reset.
    pub(super) fn refused(&self, route: &Route, refusal: &Refusal) {
        if refusal.kind != FailureKind::Throttled {
            return;
        }
        let now = Instant::now();
        let mut books = self.books();
        let refusals = books.standing(route).refusals;
        let spread = books.up_to(SPREAD.saturating_mul(1 << refusals.min(8)).min(WIDEST));
        let standing = books.standing(route);
        standing.refusals = refusals.saturating_add(1);
        standing.closed_until = Some(now + refusal.allowance.reset.unwrap_or(MINUTE) + spread);
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn standing(&mut self, route: &Route) -> &mut Standing {
        self.routes.entry((route.method.to_string(), route.path)).or_default()
    }

    /// Full jitter: any time up to `longest`.
    fn up_to(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.random.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: Route = Route { method: Method::GET, path: "/aws/ec2/instance/{}" };
    const OTHER: Route = Route { method: Method::POST, path: "/aws/ec2/instance/{}" };

    fn allowance(remaining: u32) -> Allowance {
        Allowance { limit: Some(100), remaining: Some(remaining), reset: Some(Duration::from_secs(30)) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_route_stays_closed_until_it_is_reset_and_the_others_stay_open() {
        let budget = Budget::new(1);
        let refusal = Refusal { allowance: allowance(0), ..Refusal::throttled() };
        budget.refused(&ROUTE, &refusal);
        let Admission::After(wait) = budget.admit(&ROUTE, Urgency::Order) else { panic!("asked too early") };
        assert!(wait >= Duration::from_secs(30) && wait <= Duration::from_secs(40), "{wait:?}");
        assert_eq!(budget.admit(&OTHER, Urgency::Order), Admission::Now);
        tokio::time::sleep(wait).await;
        assert_eq!(budget.admit(&ROUTE, Urgency::Order), Admission::Now);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fleet_that_was_refused_together_comes_back_apart() {
        let waits = |refusals: u32| -> Vec<Duration> {
            (0..200)
                .map(|seed| {
                    let budget = Budget::new(seed);
                    let refusal = Refusal { allowance: allowance(0), ..Refusal::throttled() };
                    (0..=refusals).for_each(|_| budget.refused(&ROUTE, &refusal));
                    match budget.admit(&ROUTE, Urgency::Order) {
                        Admission::After(wait) => wait - Duration::from_secs(30),
                        Admission::Now => panic!("asked too early"),
                    }
                })
                .collect()
        };
        for (refusals, width) in [(0, SPREAD), (2, SPREAD * 4), (20, WIDEST)] {
            let waits = waits(refusals);
            let early = waits.iter().filter(|wait| **wait < width / 4).count();
            let late = waits.iter().filter(|wait| **wait > width * 3 / 4).count();
            assert!(waits.iter().all(|wait| *wait <= width), "within {width:?}");
            assert!((30..=70).contains(&early) && (30..=70).contains(&late), "{early} early, {late} late");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn questions_leave_the_last_of_the_allowance_to_orders() {
        let budget = Budget::new(1);
        budget.answered(&ROUTE, &allowance(20));
        assert!(matches!(budget.admit(&ROUTE, Urgency::Question), Admission::After(_)));
        assert_eq!(budget.admit(&ROUTE, Urgency::Order), Admission::Now);
        budget.answered(&ROUTE, &allowance(21));
        assert_eq!(budget.admit(&ROUTE, Urgency::Question), Admission::Now);
    }

    #[tokio::test(start_paused = true)]
    async fn one_agent_bounds_itself_over_all_routes() {
        let budget = Budget::new(1);
        for n in 0..OWN {
            let route = if n % 2 == 0 { ROUTE } else { OTHER };
            assert_eq!(budget.admit(&route, Urgency::Order), Admission::Now);
        }
        assert_eq!(budget.admit(&ROUTE, Urgency::Order), Admission::After(MINUTE));
        tokio::time::sleep(MINUTE).await;
        assert_eq!(budget.admit(&ROUTE, Urgency::Order), Admission::Now);
    }
}
