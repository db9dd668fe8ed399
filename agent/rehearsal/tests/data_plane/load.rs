//! The load keeps its schedule and measures from it.

use std::sync::Arc;
use std::time::Duration;

use hyper::Response;
use pitcrew_rehearsal::load::{Answer, Load, Outcome, Plan, PlanError, Slow};
use pitcrew_rehearsal::net::{self, Net, SimNet};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::support::{Options, Stage, address};

const STALL: std::ops::Range<Duration> = Duration::from_secs(2)..Duration::from_secs(4);

/// A load of four seconds on a server that answers nothing during the stall.
async fn play(stalls: bool) -> Vec<Outcome> {
    let net: Arc<dyn Net> = Arc::new(SimNet::new(21));
    let at = address([77, 0], 1);
    let listener = net.listen(at).await.unwrap();
    let began = Instant::now();
    let mut server = JoinSet::new();
    server.spawn(async move {
        net::serve(listener, move |_, _| async move {
            if stalls && STALL.contains(&began.elapsed()) {
                sleep_until(began + STALL.end).await;
            }
            Response::new(net::nothing())
        })
        .await;
    });
    let stage = Stage::new(net, [77, 1], Options::default()).await;
    let (load, outcomes) = stage.load(Plan { to: at, ..stage.plan(21) });
    sleep(Duration::from_secs(5)).await;
    load.stop().await;
    let mut outcomes = std::mem::take(&mut *outcomes.lock().unwrap());
    outcomes.sort_by_key(|outcome| outcome.number);
    outcomes
}

#[tokio::test(start_paused = true)]
async fn a_stall_neither_delays_the_schedule_nor_hides_in_the_latency() {
    let smooth = play(false).await;
    let stalled = play(true).await;
    let schedule = |outcomes: &[Outcome]| outcomes.iter().map(|o| o.due).collect::<Vec<_>>();
    assert_eq!(schedule(&smooth), schedule(&stalled));

    let caught: Vec<_> = stalled.iter().filter(|outcome| STALL.contains(&outcome.due)).collect();
    assert!(caught.len() > 300, "{}", caught.len());
    for outcome in caught {
        let least = (STALL.end - outcome.due).saturating_sub(Duration::from_millis(10));
        assert!(outcome.latency >= least && outcome.latency < least + Duration::from_millis(30), "{outcome:?}");
    }
    let worst = smooth.iter().map(|outcome| outcome.latency).max();
    assert!(worst < Some(Duration::from_millis(20)), "{worst:?}");
}

#[tokio::test(start_paused = true)]
async fn the_report_counts_by_second_target_and_version() {
    let mut stage = Stage::new(Arc::new(SimNet::new(22)), [77, 0], Options::default()).await;
    stage.serve(1, "v1").await;
    stage.serve(2, "v2").await;
    let (load, outcomes) = stage.load(stage.plan(22));
    sleep(Duration::from_millis(3500)).await;
    assert!(load.progress().sent > 500);
    let report = load.stop().await;

    assert_eq!(report.sent, outcomes.lock().unwrap().len() as u64);
    assert_eq!(report.seconds.len(), 4);
    assert_eq!(report.seconds.iter().map(|second| second.sent).sum::<u64>(), report.sent);
    assert_eq!(report.seconds.iter().map(|second| second.ok).sum::<u64>(), report.ok);
    let [one, two] = &report.served[..] else { panic!("{:?}", report.served) };
    assert_eq!((&*one.target, &*one.version), ("127.77.0.1:8080", "v1"));
    assert_eq!((&*two.target, &*two.version), ("127.77.0.2:8080", "v2"));
    assert!(one.requests.abs_diff(two.requests) <= 1);
    assert!(report.latency.p50_ms > 0.0 && report.latency.p50_ms <= report.latency.max_ms);

    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["seconds"][0]["served"][0]["version"], "v1");
    assert!(json["latency"]["p999_ms"].is_number());
}

#[tokio::test(start_paused = true)]
async fn a_long_load_reports_the_same_of_all_its_seconds_together() {
    let mut stage = Stage::new(Arc::new(SimNet::new(24)), [77, 0], Options::default()).await;
    stage.serve(1, "v1").await;
    let ((told, _), (untold, _)) =
        (stage.load(stage.plan(24)), stage.load(Plan { by_second: false, ..stage.plan(24) }));
    sleep(Duration::from_millis(2500)).await;
    let (told, untold) = tokio::join!(told.stop(), untold.stop());
    assert_eq!((told.seconds.len(), untold.seconds.len()), (3, 0));
    assert_eq!((told.sent, told.ok, told.lost), (untold.sent, untold.ok, untold.lost));
    assert_eq!(untold.served[0].requests, untold.ok);
    assert!(untold.latency.p50_ms > 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_in_time_is_lost() {
    let net: Arc<dyn Net> = Arc::new(SimNet::new(23));
    let at = address([77, 0], 1);
    let _mute = net.listen(at).await.unwrap();
    let stage = Stage::new(net, [77, 1], Options::default()).await;
    let timeout = Duration::from_secs(3);
    let (load, outcomes) = stage.load(Plan { to: at, timeout, rate: 10.0, ..stage.plan(23) });
    sleep(Duration::from_secs(2)).await;
    let report = load.stop().await;
    assert!(report.sent > 5 && report.lost == report.sent, "{report:?}");
    for outcome in outcomes.lock().unwrap().iter() {
        let Answer::Lost { cause, .. } = &outcome.answer else { panic!("{outcome:?}") };
        assert_eq!(cause, "no answer within 3s");
        assert!(outcome.latency < Duration::from_millis(3002), "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_first_losses_are_kept_but_all_are_counted() {
    let stage = Stage::new(Arc::new(SimNet::new(24)), [77, 0], Options::default()).await;
    let (load, _) = stage.load(stage.plan(24));
    sleep(Duration::from_secs(1)).await;
    let report = load.stop().await;
    assert!(report.lost > 100 && report.lost == report.sent, "{report:?}");
    assert_eq!(report.losses.len(), 20);
    assert_eq!(report.losses[0].cause, "503 from the balancer: no target is in service");
}

#[tokio::test]
async fn a_plan_that_makes_no_sense_is_refused() {
    let stage = Stage::new(Arc::new(SimNet::new(25)), [77, 0], Options::default()).await;
    let refused = |plan: Plan| Load::start(stage.net.clone(), plan, |_| {}).err();
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(refused(Plan { rate, ..stage.plan(0) }), Some(PlanError::Rate(_))));
    }
    let slow = Some(Slow { share: 1.5, up_to: Duration::from_secs(1) });
    assert_eq!(refused(Plan { slow, ..stage.plan(0) }), Some(PlanError::Share(1.5)));
    let path = "no slash".to_owned();
    assert_eq!(refused(Plan { path: path.clone(), ..stage.plan(0) }), Some(PlanError::Path(path)));
    assert_eq!(refused(stage.plan(0)), None);
}
