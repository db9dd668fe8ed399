//! What to send, and when each request is due.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use fastrand::Rng;
use hyper::Uri;

/// What to send.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The address that requests come from.
    pub from: IpAddr,
    /// Where they go: the balancer.
    pub to: SocketAddr,
    /// What they ask for, such as `/`.
    pub path: String,
    /// Requests per second on average; each arrival is independent of the others (Poisson).
    pub rate: f64,
    /// Which of them take long.
    pub slow: Option<Slow>,
    /// A request without a whole answer this long after its due time is lost.
    pub timeout: Duration,
    /// Draws the arrivals and which of them are slow.
    pub seed: u64,
    /// Whether each second is reported by itself, which takes some memory for each.
    pub by_second: bool,
}

/// Requests that ask the sample application to take its time (`?ms=`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slow {
    /// The share of all requests, from 0 to 1.
    pub share: f64,
    /// The longest of them; they are spread evenly from 0 up to this.
    pub up_to: Duration,
}

/// What is wrong with a plan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The rate is out of bounds.
    #[error("a load of {0} requests per second cannot be sent: give a rate from 0.01 to 100000")]
    Rate(f64),
    /// The share of slow requests is not a share.
    #[error("{0} is not a share of slow requests: give a number from 0 to 1")]
    Share(f64),
    /// The path cannot be asked for.
    #[error("`{0}` is not a path: give one that begins with a slash, such as `/`")]
    Path(String),
}

/// The rates that a plan may have, in requests per second.
const RATES: RangeInclusive<f64> = 0.01..=100_000.0;

impl Plan {
    pub(super) fn check(&self) -> Result<(), PlanError> {
        if !RATES.contains(&self.rate) {
            return Err(PlanError::Rate(self.rate));
        }
        if let Some(Slow { share, .. }) = self.slow
            && !(0.0..=1.0).contains(&share)
        {
            return Err(PlanError::Share(share));
        }
        if !self.path.starts_with('/') || self.path.parse::<Uri>().is_err() {
            return Err(PlanError::Path(self.path.clone()));
        }
        Ok(())
    }
}

/// Draws when each request is due and what it asks for: the same for the same plan.
pub(super) struct Schedule<'a> {
    plan: &'a Plan,
    rng: Rng,
    due: Duration,
}

impl<'a> Schedule<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        Self { plan, rng: Rng::with_seed(plan.seed), due: Duration::ZERO }
    }

    pub(super) fn next(&mut self) -> (Duration, String) {
        let gap = -(1.0 - self.rng.f64()).ln() / self.plan.rate;
        self.due += Duration::from_secs_f64(gap);
        let path = match self.plan.slow {
            Some(Slow { share, up_to }) if self.rng.f64() < share => {
                let delay = up_to.mul_f64(self.rng.f64()).as_millis();
                let separator = if self.plan.path.contains('?') { '&' } else { '?' };
                format!("{}{separator}ms={delay}", self.plan.path)
            }
            Some(_) | None => self.plan.path.clone(),
        };
        (self.due, path)
    }
}
