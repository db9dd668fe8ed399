//! What a request costs: load, balancer and two applications together in one thread.
//!
//! `cargo bench -p pitcrew-rehearsal` prints it for the simulated and for the real network.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot be made is not printed")]

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pitcrew_rehearsal::app;
use pitcrew_rehearsal::balancer::routing::{CheckPlan, CheckResult, Route, Routing, Stance};
use pitcrew_rehearsal::balancer::{Balancer, IdleOnDrain, Settings};
use pitcrew_rehearsal::load::{Load, Plan, Report};
use pitcrew_rehearsal::net::{Net, RealNet, SimNet};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::sleep;

fn main() {
    let worlds = 20;
    let before = cpu();
    let mut requests = 0;
    for seed in 0..worlds {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        let net = Arc::new(SimNet::new(seed));
        let report = runtime.block_on(play(net, seed, 25.0, true, Duration::from_secs(40)));
        assert_eq!(report.lost, 0, "{report:?}");
        requests += report.sent;
    }
    let spent = cpu() - before;
    println!("simulated: {worlds} worlds of 40 s, {requests} requests, 0 lost");
    println!("  {:>6.1} ms of CPU for each world", per(spent, worlds) / 1000.0);
    println!("  {:>6.1} µs of CPU for each request, everything included", per(spent, requests));

    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    for (rate, keep_alive) in [(1000.0, true), (1000.0, false), (5000.0, true)] {
        let before = cpu();
        let lasting = Duration::from_secs(10);
        let report = runtime.block_on(play(Arc::new(RealNet), 1, rate, keep_alive, lasting));
        let spent = cpu() - before;
        let Report { sent, lost, latency, .. } = report;
        let connections = if keep_alive { "kept open" } else { "one for each request" };
        println!(
            "real: {rate} requests/s for {lasting:?}, upstream connections {connections}: {sent} sent, {lost} lost"
        );
        println!("  {:>6.1} µs of CPU for each request", per(spent, sent));
        println!("  {:>6.1} % of one core", 100.0 * spent.as_secs_f64() / lasting.as_secs_f64());
        println!("{latency}");
    }
}

/// One load on two applications that stay in service.
async fn play(net: Arc<dyn Net>, seed: u64, rate: f64, keep_alive: bool, lasting: Duration) -> Report {
    let mut running = JoinSet::new();
    for listen in endpoints() {
        let release = "v1".parse().unwrap();
        let settings = app::Settings { listen, release, start: Duration::ZERO };
        running.spawn(app::run(net.clone(), settings));
    }
    let from = SocketAddr::from(([127, 79, 255, 1], 0));
    let settings = Settings { listen: from, from: from.ip(), keep_alive, idle_on_drain: IdleOnDrain::Closed };
    let balancer = Balancer::bind(net.clone(), Arc::new(InService), settings).await.unwrap();
    let to = balancer.address();
    running.spawn(balancer.run());
    sleep(Duration::from_millis(100)).await;

    let (path, timeout) = ("/".to_owned(), Duration::from_secs(5));
    let plan = Plan { from: from.ip(), to, path, rate, slow: None, timeout, seed, by_second: true };
    let load = Load::start(net, plan, |_| {}).unwrap();
    sleep(lasting).await;
    load.stop().await
}

fn endpoints() -> [SocketAddr; 2] {
    [1, 2].map(|number| SocketAddr::from(([127, 79, 0, number], 8080)))
}

/// Both applications, always.
struct InService;

impl Routing for InService {
    fn routes(&self) -> Vec<Route> {
        endpoints().map(|endpoint| Route { endpoint, stance: Stance::Serving }).to_vec()
    }

    fn check_plan(&self) -> CheckPlan {
        CheckPlan {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            path: "/health".to_owned(),
            matcher: 200..=299,
        }
    }

    fn checked(&self, _: SocketAddr, _: CheckResult) {}
}

/// What this thread has spent, from the scheduler's own account.
fn cpu() -> Duration {
    let account = fs::read_to_string("/proc/self/schedstat").unwrap();
    Duration::from_nanos(account.split_whitespace().next().unwrap().parse().unwrap())
}

/// Microseconds for each.
fn per(spent: Duration, count: u64) -> f64 {
    spent.as_secs_f64() * 1e6 / count as f64
}
