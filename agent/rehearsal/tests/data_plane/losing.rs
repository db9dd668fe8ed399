//! What is lost when nobody drains: exactly what the application carried and was still given.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hyper::Response;
use hyper::body::Bytes;
use pitcrew_rehearsal::balancer::routing::{CheckFailure, CheckResult, Stance};
use pitcrew_rehearsal::balancer::{REASON_HEADER, TARGET_HEADER};
use pitcrew_rehearsal::load::{Answer, Outcome};
use pitcrew_rehearsal::net::SimNet;
use tokio::time::sleep;

use crate::support::{Options, Stage, ask, slow};

const KILLED: Duration = Duration::from_secs(5);
const REMOVED: Duration = Duration::from_secs(7);

async fn stage(seed: u64) -> Stage {
    Stage::new(Arc::new(SimNet::new(seed)), [77, 0], Options::default()).await
}

/// Two applications under load; with `kill`, the first dies in service and leaves traffic later.
async fn play(seed: u64, kill: bool) -> Vec<Outcome> {
    let mut stage = stage(seed).await;
    let one = stage.serve(1, "v1").await;
    stage.serve(2, "v1").await;
    let mut plan = stage.plan(seed);
    plan.slow = slow(Duration::from_secs(10));
    let (load, outcomes) = stage.load(plan);
    sleep(KILLED).await;
    if kill {
        stage.kill(one).await;
    }
    sleep(REMOVED - KILLED).await;
    if kill {
        stage.board.remove(one);
    }
    sleep(Duration::from_secs(3)).await;
    load.stop().await;
    Arc::into_inner(outcomes).unwrap().into_inner().unwrap()
}

fn is_lost(outcome: &Outcome) -> bool {
    matches!(outcome.answer, Answer::Lost { .. })
}

fn is_served_by(outcome: &Outcome, by: &str) -> bool {
    matches!(&outcome.answer, Answer::Served { target, .. } if target == by)
}

#[tokio::test(start_paused = true)]
async fn an_application_killed_in_service_loses_what_is_in_flight_and_what_is_misrouted() {
    let undisturbed = play(11, false).await;
    assert!(!undisturbed.iter().any(is_lost));
    // The same schedule went the same way until the kill: what the first instance answered after
    // that moment was in flight on it. A request due just before it was on its way there.
    let margin = Duration::from_millis(10);
    let in_flight: BTreeSet<u64> = undisturbed
        .iter()
        .filter(|outcome| outcome.due + margin < KILLED && outcome.due + outcome.latency > KILLED)
        .filter(|outcome| is_served_by(outcome, "127.77.0.1:8080"))
        .map(|outcome| outcome.number)
        .collect();
    assert!(in_flight.len() > 10, "{in_flight:?}");

    let killed = play(11, true).await;
    let cut: BTreeSet<u64> = killed
        .iter()
        .filter(|outcome| is_lost(outcome) && outcome.due + margin < KILLED)
        .map(|outcome| outcome.number)
        .collect();
    assert_eq!(cut, in_flight);

    let between = |outcome: &&Outcome| outcome.due > KILLED && outcome.due + margin < REMOVED;
    let misrouted = killed.iter().filter(between).filter(|outcome| is_lost(outcome)).count();
    let routed = killed.iter().filter(between).filter(|o| is_served_by(o, "127.77.0.2:8080")).count();
    assert!(misrouted > 150 && misrouted.abs_diff(routed) <= 1, "{misrouted} and {routed}");
    assert_eq!(misrouted + routed, killed.iter().filter(between).count());

    let later = |outcome: &&Outcome| outcome.due > REMOVED;
    assert!(killed.iter().filter(later).count() > 400);
    assert_eq!(killed.iter().filter(later).find(|outcome| is_lost(outcome)), None);
}

#[tokio::test(start_paused = true)]
async fn each_loss_says_why_and_where() {
    let mut stage = stage(12).await;
    let one = stage.serve(1, "v1").await;
    stage.board.set(one, Stance::Checked);
    assert_eq!(refusal(&stage.ask("/").await), (503, "no target is in service", ""));

    stage.board.set(one, Stance::Serving);
    let (client, front) = (stage.endpoint(253).ip(), stage.front);
    let net = stage.net.clone();
    let (cut, ()) = tokio::join!(ask(&*net, client, front, "/?ms=10000"), async {
        sleep(Duration::from_secs(1)).await;
        stage.kill(one).await;
    });
    assert_eq!(refusal(&cut), (502, "no response: connection reset", "127.77.0.1:8080"));
    let refused = stage.ask("/").await;
    let expected = (502, "connecting failed: connection refused", "127.77.0.1:8080");
    assert_eq!(refusal(&refused), expected);
}

/// The status, the reason and the target of the balancer's own answer.
fn refusal(answer: &Response<Bytes>) -> (u16, &str, &str) {
    let text = |name| answer.headers().get(name).map_or("", |value| value.to_str().unwrap());
    (answer.status().as_u16(), text(REASON_HEADER), text(TARGET_HEADER))
}

#[tokio::test(start_paused = true)]
async fn checks_say_what_is_wrong_with_a_target() {
    let mut stage = stage(13).await;
    let good = stage.start(1, "v1").await;
    let sick = stage.start(2, "v1 unhealthy").await;
    let (absent, silent) = (stage.endpoint(3), stage.endpoint(4));
    let _listening_but_mute = stage.net.listen(silent).await.unwrap();
    for endpoint in [good, sick, absent, silent] {
        stage.board.set(endpoint, Stance::Checked);
    }
    sleep(Duration::from_secs(2)).await;

    let refused = CheckFailure::Connection("connecting failed: connection refused".to_owned());
    let expected = [
        (good, CheckResult::Passed),
        (sick, CheckResult::Failed(CheckFailure::Status(503))),
        (absent, CheckResult::Failed(refused)),
        (silent, CheckResult::Failed(CheckFailure::Silent)),
    ];
    for (endpoint, result) in expected {
        let checks = stage.board.checks(endpoint);
        assert!(checks.len() >= 3, "{endpoint}: {checks:?}");
        assert!(checks.iter().all(|check| *check == result), "{endpoint}: {checks:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_plays_the_same_rehearsal() {
    let log =
        |outcomes: Vec<Outcome>| -> Vec<String> { outcomes.iter().map(|outcome| format!("{outcome:?}")).collect() };
    let first = log(play(14, true).await);
    assert!(first.iter().any(|line| line.contains("Lost")) && first.len() > 1500);
    assert_eq!(first, log(play(14, true).await));
    assert_ne!(first, log(play(15, true).await));
}
