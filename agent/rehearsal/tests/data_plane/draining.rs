//! A target that leaves traffic: what finishes, what is cut, and which connections stay.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use hyper::body::Bytes;
use hyper::{Response, StatusCode};
use pitcrew_rehearsal::balancer::routing::Stance;
use pitcrew_rehearsal::balancer::{IdleOnDrain, REASON_HEADER};
use pitcrew_rehearsal::load::{Answer, Plan};
use pitcrew_rehearsal::net::{self, Net, SimNet};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::support::{Options, Stage, draining_for, served, slow, wait_for};

const DELAY: Duration = Duration::from_secs(300);

async fn stage(net: &SimNet, options: Options) -> Stage {
    Stage::new(Arc::new(net.clone()), [77, 0], options).await
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_drains_first_loses_nothing() {
    let net = SimNet::new(1);
    let mut stage = stage(&net, Options::default()).await;
    let one = stage.serve(1, "v1").await;
    stage.serve(2, "v1").await;
    let mut plan = stage.plan(1);
    plan.slow = slow(Duration::from_secs(10));
    let (load, _) = stage.load(plan);
    sleep(Duration::from_secs(5)).await;

    let began = Instant::now();
    stage.board.set(one, draining_for(DELAY));
    wait_for("the last connection to close", async || net.established(one) == 0).await;
    let drained_after = began.elapsed();
    stage.kill(one).await;
    stage.start(1, "v2").await;
    stage.board.set(one, Stance::Serving);
    sleep(Duration::from_secs(5)).await;

    let report = load.stop().await;
    assert_eq!(report.losses, []);
    assert_eq!((report.lost, report.ok), (0, report.sent));
    assert!(report.sent > 2000, "{report:?}");
    assert!(served(&report, "v2") > 200, "{report:?}");
    let longest = Duration::from_secs(11);
    assert!(drained_after > Duration::from_secs(5) && drained_after < longest, "{drained_after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_in_flight_finishes_during_the_drain() {
    let net = SimNet::new(2);
    let mut stage = stage(&net, Options::default()).await;
    let one = stage.serve(1, "v1").await;
    let began = Instant::now();
    let (answer, ()) = tokio::join!(stage.ask("/?ms=10000"), async {
        sleep(Duration::from_secs(1)).await;
        stage.board.set(one, draining_for(DELAY));
    });
    assert_eq!((answer.status(), &answer.body()[..]), (StatusCode::OK, &b"v1\n"[..]));
    assert!(began.elapsed() < Duration::from_millis(10_020), "{:?}", began.elapsed());
    assert_eq!(stage.ask("/").await.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_outlives_the_delay_is_cut_at_its_end() {
    let net = SimNet::new(3);
    let mut stage = stage(&net, Options::default()).await;
    let one = stage.serve(1, "v1").await;
    let began = Instant::now();
    let (answer, ()) = tokio::join!(stage.ask("/?ms=10000"), async {
        sleep(Duration::from_secs(1)).await;
        stage.board.set(one, draining_for(Duration::from_secs(4)));
    });
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(answer.headers()[REASON_HEADER], "cut in flight");
    assert!(began.elapsed() >= Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_millis(5020), "{:?}", began.elapsed());
    assert_eq!(net.established(one), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_outlives_the_delay_is_cut_in_its_middle() {
    let net = SimNet::new(10);
    let stage = stage(&net, Options::default()).await;
    let one = stage.endpoint(1);
    let listener = net.listen(one).await.unwrap();
    let mut server = JoinSet::new();
    server.spawn(net::serve(listener, |_, _| async {
        let (mut lines, body) = Channel::<Bytes, _>::new(1);
        tokio::spawn(async move {
            while lines.send_data(Bytes::from_static(b"more to come\n")).await.is_ok() {
                sleep(Duration::from_millis(200)).await;
            }
        });
        Response::new(body.boxed_unsync())
    }));
    stage.board.set(one, Stance::Serving);

    let plan = Plan { rate: 10.0, ..stage.plan(10) };
    let (load, outcomes) = stage.load(plan);
    sleep(Duration::from_secs(1)).await;
    let cut_at = Duration::from_millis(5010);
    let (report, ()) = tokio::join!(load.stop(), async {
        sleep(Duration::from_millis(10)).await;
        stage.board.set(one, draining_for(Duration::from_secs(4)));
    });
    assert!(report.sent > 5 && report.lost == report.sent, "{report:?}");
    for outcome in outcomes.lock().unwrap().iter() {
        let Answer::Lost { cause, .. } = &outcome.answer else { panic!("{outcome:?}") };
        assert_eq!(cause, "cut in the middle of its answer");
        let ended = outcome.due + outcome.latency;
        assert!(ended >= cut_at && ended < cut_at + Duration::from_millis(20), "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_disappears_takes_its_requests_along() {
    let net = SimNet::new(4);
    let mut stage = stage(&net, Options::default()).await;
    let one = stage.serve(1, "v1").await;
    let (answer, ()) = tokio::join!(stage.ask("/?ms=10000"), async {
        sleep(Duration::from_secs(1)).await;
        stage.board.remove(one);
    });
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_close_soon_after_the_drain_begins() {
    let net = SimNet::new(5);
    let mut stage = stage(&net, Options::default()).await;
    let one = stage.serve(1, "v1").await;
    tokio::join!(stage.ask("/?ms=50"), stage.ask("/?ms=50"), stage.ask("/?ms=50"));
    sleep(Duration::from_millis(250)).await;
    assert_eq!(net.established(one), 3);

    let began = Instant::now();
    stage.board.set(one, draining_for(DELAY));
    wait_for("the idle connections to close", async || net.established(one) == 0).await;
    assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn idle_connections_stay_until_the_drain_ends_where_the_balancer_keeps_them() {
    let net = SimNet::new(6);
    let options = Options { idle_on_drain: IdleOnDrain::KeptOpen, ..Options::default() };
    let mut stage = stage(&net, options).await;
    let one = stage.serve(1, "v1").await;
    tokio::join!(stage.ask("/?ms=50"), stage.ask("/?ms=50"));

    let until = Instant::now() + DELAY;
    stage.board.set(one, Stance::Draining { until });
    tokio::time::sleep_until(until - Duration::from_millis(20)).await;
    assert_eq!(net.established(one), 2);
    sleep(Duration::from_millis(30)).await;
    assert_eq!(net.established(one), 0);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_returns_before_its_drain_ends_keeps_its_requests() {
    let net = SimNet::new(7);
    let mut stage = stage(&net, Options::default()).await;
    let one = stage.serve(1, "v1").await;
    let (answer, ()) = tokio::join!(stage.ask("/?ms=10000"), async {
        sleep(Duration::from_secs(1)).await;
        stage.board.set(one, draining_for(Duration::from_secs(4)));
        sleep(Duration::from_secs(3)).await;
        stage.board.set(one, Stance::Checked);
    });
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn without_keep_alive_each_request_leaves_no_connection_behind() {
    let net = SimNet::new(8);
    let mut stage = stage(&net, Options { keep_alive: false, ..Options::default() }).await;
    let one = stage.serve(1, "v1").await;
    tokio::join!(stage.ask("/?ms=100"), stage.ask("/?ms=100"), async {
        sleep(Duration::from_millis(50)).await;
        assert_eq!(net.established(one), 2);
    });
    sleep(Duration::from_millis(10)).await;
    assert_eq!(net.established(one), 0);
}

#[tokio::test(start_paused = true)]
async fn health_checks_go_on_while_draining_and_end_with_the_target() {
    let net = SimNet::new(9);
    let mut stage = stage(&net, Options::default()).await;
    let one = stage.serve(1, "v1").await;
    stage.board.set(one, draining_for(DELAY));
    sleep(Duration::from_secs(10)).await;
    let checks = stage.board.checks(one).len();
    assert!((20..=22).contains(&checks), "{checks}");

    stage.board.remove(one);
    sleep(Duration::from_secs(1)).await;
    let ended = stage.board.checks(one).len();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(stage.board.checks(one).len(), ended);
}
