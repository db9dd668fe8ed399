//! The same data plane on real sockets of the loopback interface.

use std::fs;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use pitcrew_rehearsal::balancer::IdleOnDrain;
use pitcrew_rehearsal::balancer::routing::Stance;
use pitcrew_rehearsal::load::Report;
use pitcrew_rehearsal::net::RealNet;
use tokio::time::{Instant, sleep};

use crate::support::{Options, Stage, draining_for, served, slow, wait_for};

const DELAY: Duration = Duration::from_secs(300);

/// Loopback addresses that no other test, and hardly another process, uses.
async fn stage(test: u8, options: Options) -> Stage {
    let block = [100 + (process::id() % 100) as u8, test];
    Stage::new(Arc::new(RealNet), block, options).await
}

/// Established connections to an application from other addresses, as the kernel lists them.
fn established(stage: &Stage, number: u8) -> usize {
    let endpoint = stage.endpoint(number);
    let std::net::IpAddr::V4(ip) = endpoint.ip() else { panic!("not IPv4") };
    let ours = format!("{:08X}", u32::from_ne_bytes(ip.octets()));
    let local = format!("{ours}:{:04X}", endpoint.port());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let is_counted = |line: &&str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields[1] == local && !fields[2].starts_with(&ours) && fields[3] == "01"
    };
    table.lines().skip(1).filter(is_counted).count()
}

/// Rolls one of two applications under load; `drained` says whether it leaves traffic first.
async fn roll(mut stage: Stage, drained: bool) -> Report {
    let one = stage.serve(1, "v1").await;
    stage.serve(2, "v1").await;
    let mut plan = stage.plan(31);
    plan.slow = slow(Duration::from_millis(300));
    let (load, _) = stage.load(plan);
    wait_for("some load", async || load.progress().sent > 100).await;
    if drained {
        stage.board.set(one, draining_for(DELAY));
        let stage = &stage;
        wait_for("the drain", async || established(stage, 1) == 0).await;
    }
    stage.kill(one).await;
    let before = load.progress().sent;
    wait_for("load meanwhile", async || load.progress().sent > before + 50).await;
    stage.start(1, "v2").await;
    stage.board.set(one, Stance::Serving);
    let before = load.progress().sent;
    wait_for("load afterwards", async || load.progress().sent > before + 100).await;
    load.stop().await
}

#[tokio::test]
async fn a_deployment_that_drains_first_loses_nothing() {
    let report = roll(stage(1, Options::default()).await, true).await;
    assert_eq!(report.losses, []);
    assert_eq!((report.lost, report.ok), (0, report.sent));
    assert!(served(&report, "v2") > 30, "{report:?}");
}

#[tokio::test]
async fn without_keep_alive_it_loses_nothing_either() {
    let options = Options { keep_alive: false, ..Options::default() };
    let report = roll(stage(2, options).await, true).await;
    assert_eq!(report.losses, []);
    assert!(served(&report, "v2") > 30, "{report:?}");
}

#[tokio::test]
async fn a_deployment_that_does_not_drain_loses_requests_at_that_instance() {
    let report = roll(stage(3, Options::default()).await, false).await;
    assert!(report.lost > 20, "{report:?}");
    let target = report.losses[0].target.clone();
    assert!(target.ends_with(".3.1:8080"), "{target}");
    assert!(report.losses.iter().all(|loss| loss.target == target), "{report:?}");
    let causes: Vec<_> = report.losses.iter().map(|loss| &*loss.cause).collect();
    assert!(causes.contains(&"502 from the balancer: connecting failed: connection refused"), "{causes:?}");
}

#[tokio::test]
async fn a_request_in_flight_finishes_during_the_drain_or_is_cut_at_its_end() {
    let finishes = ("/?ms=1000", DELAY, StatusCode::OK);
    let is_cut = ("/?ms=60000", Duration::from_millis(300), StatusCode::BAD_GATEWAY);
    for (path, delay, status) in [finishes, is_cut] {
        let mut stage = stage(4, Options::default()).await;
        let one = stage.serve(1, "v1").await;
        let began = Instant::now();
        let (answer, ()) = tokio::join!(stage.ask(path), async {
            let stage = &stage;
            wait_for("the request to arrive", async || established(stage, 1) > 0).await;
            sleep(Duration::from_millis(100)).await;
            stage.board.set(one, draining_for(delay));
        });
        assert_eq!(answer.status(), status);
        assert!(began.elapsed() < Duration::from_secs(50), "{:?}", began.elapsed());
        stage.kill(one).await;
    }
}

#[tokio::test]
async fn idle_connections_close_or_stay_as_the_balancer_is_told() {
    for (test, idle_on_drain) in [(5, IdleOnDrain::Closed), (6, IdleOnDrain::KeptOpen)] {
        let mut stage = stage(test, Options { idle_on_drain, ..Options::default() }).await;
        let one = stage.serve(1, "v1").await;
        tokio::join!(stage.ask("/?ms=50"), stage.ask("/?ms=50"));
        // The board's checks are short-lived connections: none hangs about between them.
        let stage = &stage;
        wait_for("two idle connections", async || established(stage, 1) == 2).await;
        stage.board.set(one, draining_for(Duration::from_secs(3)));
        let began = Instant::now();
        wait_for("the connections to close", async || established(stage, 1) == 0).await;
        let kept = began.elapsed() >= Duration::from_millis(2900);
        assert_eq!(kept, idle_on_drain == IdleOnDrain::KeptOpen, "{:?}", began.elapsed());
    }
}
