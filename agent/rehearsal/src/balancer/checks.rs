//! Active health checks: each target, at each interval, on a connection of its own.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hyper::Request;
use hyper::header::{HOST, USER_AGENT};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::SWEEP;
use super::routing::{CheckFailure, CheckPlan, CheckResult, Routing};
use crate::net::pool::Pool;
use crate::net::{Net, nothing};

/// Checks every target that the control plane names, draining ones too.
///
/// A target that begins or ends to drain is watched anew, so one that is registered again is checked at once.
pub(super) async fn run(net: Arc<dyn Net>, from: IpAddr, routing: Arc<dyn Routing>) -> Infallible {
    // Each set holds one task: dropping the set ends it.
    let mut watched: BTreeMap<(SocketAddr, bool), JoinSet<()>> = BTreeMap::new();
    loop {
        let targets: BTreeSet<_> =
            routing.routes().iter().map(|route| (route.endpoint, route.stance.is_draining())).collect();
        watched.retain(|target, _| targets.contains(target));
        for target in targets {
            if let Entry::Vacant(place) = watched.entry(target) {
                let (endpoint, _) = target;
                let pool = Pool::new(net.clone(), from, endpoint, false);
                let watch = watch(Arc::new(pool), endpoint, routing.clone());
                place.insert(JoinSet::new()).spawn(watch);
            }
        }
        sleep(SWEEP).await;
    }
}

/// Checks one target until dropped; the first check starts at once.
async fn watch(pool: Arc<Pool>, endpoint: SocketAddr, routing: Arc<dyn Routing>) {
    let mut start = Instant::now();
    loop {
        let plan = routing.check_plan();
        routing.checked(endpoint, check(&pool, endpoint, &plan).await);
        start += plan.interval;
        sleep_until(start).await;
    }
}

async fn check(pool: &Arc<Pool>, endpoint: SocketAddr, plan: &CheckPlan) -> CheckResult {
    let request = Request::get(&plan.path)
        .header(HOST, endpoint.to_string())
        .header(USER_AGENT, "ELB-HealthChecker/2.0")
        .body(nothing());
    let request = match request {
        Ok(request) => request,
        Err(error) => return connection(format!("`{}` cannot be asked for: {error}", plan.path)),
    };
    match timeout(plan.timeout, pool.send(request)).await {
        Ok(Ok(response)) => match response.status().as_u16() {
            status if plan.matcher.contains(&status) => CheckResult::Passed,
            status => CheckResult::Failed(CheckFailure::Status(status)),
        },
        Ok(Err(failure)) => connection(failure.to_string()),
        Err(_) => CheckResult::Failed(CheckFailure::Silent),
    }
}

fn connection(reason: String) -> CheckResult {
    CheckResult::Failed(CheckFailure::Connection(reason))
}
