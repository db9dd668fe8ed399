//! The allowance of an organization: by route and method, over a sliding minute. A request that comes too early postpones
//! the reset.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::RouteLoad;

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Rate {
    limit: u32,
    routes: BTreeMap<String, Route>,
}

#[derive(Debug, Default)]
struct Route {
    recent: VecDeque<Instant>,
    requests: usize,
    busiest: usize,
    refused: usize,
}

/// What the headers say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) limit: u32,
    pub(super) remaining: u32,
    pub(super) reset: Duration,
    pub(super) refused: bool,
}

impl Rate {
    pub(super) fn new(limit: u32) -> Self {
        Self { limit, routes: BTreeMap::new() }
    }

    /// Counts a request.
    pub(super) fn count(&mut self, route: &str, now: Instant) -> Standing {
        let limit = self.limit;
        let route = self.routes.entry(route.to_owned()).or_default();
        route.recent.retain(|at| now.duration_since(*at) < MINUTE);
        route.recent.push_back(now);
        route.requests += 1;
        route.busiest = route.busiest.max(route.recent.len());
        let used = u32::try_from(route.recent.len()).unwrap_or(u32::MAX);
        let refused = used > limit;
        route.refused += usize::from(refused);
        let oldest = route.recent.front().copied().unwrap_or(now);
        let reset = MINUTE.saturating_sub(now.duration_since(oldest));
        Standing { limit, remaining: limit.saturating_sub(used), reset, refused }
    }

    pub(super) fn table(&self) -> Vec<RouteLoad> {
        let loads = self.routes.iter().map(|(name, route)| RouteLoad {
            route: name.clone(),
            requests: route.requests,
            busiest_minute: route.busiest,
            refused: route.refused,
        });
        loads.collect()
    }
}
