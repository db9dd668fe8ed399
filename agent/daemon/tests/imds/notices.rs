//! Notices that come, move and go.

use std::time::Duration;

use pitcrew_core::notice::{Notice, NoticeKind};
use pitcrew_core::time::WallTime;
use tokio::time::sleep;

use crate::poller::{TERMINATE, Told, next, nothing, terminate};
use crate::world::{Fault, World};
use crate::{LIFECYCLE, REBALANCE, SCHEDULED, SPOT};

#[tokio::test(start_paused = true)]
async fn a_notice_is_told_once_and_within_a_poll() {
    for phase in 0..20 {
        let world = World::new();
        let mut told = world.poll(&[]);
        sleep(Duration::from_millis(10_000 + 53 * phase)).await;
        world.page(SPOT, TERMINATE);
        let (first, after) = next(&mut told).await;
        assert_eq!(first, Told::Seen(terminate()));
        assert!(after <= Duration::from_millis(1100), "{after:?}");
        nothing(&mut told, Duration::from_secs(300)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_stood_before_the_agent_is_told_at_once() {
    let world = World::new();
    world.page(SPOT, TERMINATE);
    let mut told = world.poll(&[]);
    assert_eq!(next(&mut told).await, (Told::Seen(terminate()), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_notice_in_the_past_or_without_a_readable_time_is_a_notice() {
    let past = Notice { kind: NoticeKind::SpotStop, time: Some(WallTime(0)) };
    let unread = Notice { kind: NoticeKind::SpotHibernate, time: None };
    let table = [
        (r#"{"action":"stop","time":"1969-12-31T23:59:59Z"}"#, past),
        (r#"{"action":"hibernate","time":"any minute now"}"#, unread),
    ];
    for (page, notice) in table {
        let world = World::new();
        world.page(SPOT, page);
        let mut told = world.poll(&[]);
        assert_eq!(next(&mut told).await.0, Told::Seen(notice));
    }
}

#[tokio::test(start_paused = true)]
async fn several_kinds_at_once_are_all_told() {
    let world = World::new();
    world.page(SPOT, TERMINATE);
    world.page(REBALANCE, r#"{"noticeTime":"2026-11-23T00:02:00Z"}"#);
    world.page(LIFECYCLE, "Terminated");
    world.page(SCHEDULED, r#"[{"NotBefore":"23 Nov 2026 00:02:00 GMT","Code":"instance-stop","State":"active"}]"#);
    let mut told = world.poll(&[]);
    let mut kinds = Vec::new();
    for _ in 0..4 {
        match next(&mut told).await {
            (Told::Seen(notice), Duration::ZERO) => kinds.push(notice.kind),
            other => panic!("{other:?}"),
        }
    }
    kinds.sort();
    let expected = [NoticeKind::SpotTerminate, NoticeKind::Rebalance, NoticeKind::Scheduled, NoticeKind::AutoScaling];
    assert_eq!(kinds, expected);
    nothing(&mut told, Duration::from_secs(120)).await;
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_event_is_told_shortly_before_and_withdrawn_when_it_is_cancelled() {
    let world = World::new();
    let event = |state| {
        format!(
            r#"[{{"NotBefore":"23 Nov 2026 02:00:00 GMT","NotAfter":"","Code":"instance-stop","State":"{state}"}}]"#
        )
    };
    world.page(SCHEDULED, &event("active"));
    let mut told = world.poll(&[]);
    nothing(&mut told, Duration::from_secs(114 * 60)).await;
    let (seen, after) = next(&mut told).await;
    let notice = Notice { kind: NoticeKind::Scheduled, time: Some(WallTime(1_795_399_200_000)) };
    assert_eq!(seen, Told::Seen(notice.clone()));
    assert!(after <= Duration::from_secs(95), "five minutes ahead, within one look: {after:?}");
    world.page(SCHEDULED, &event("canceled"));
    assert_eq!(next(&mut told).await.0, Told::Withdrawn(notice));
}

#[tokio::test(start_paused = true)]
async fn a_notice_is_withdrawn_when_it_is_gone_and_not_by_a_hiccup() {
    let world = World::new();
    world.page(SPOT, TERMINATE);
    let mut told = world.poll(&[]);
    next(&mut told).await;
    world.fault_at(SPOT, Fault::Status(404));
    sleep(Duration::from_millis(1050)).await;
    world.mend_paths();
    nothing(&mut told, Duration::from_secs(60)).await;
    world.remove(SPOT);
    let (withdrawn, after) = next(&mut told).await;
    assert_eq!(withdrawn, Told::Withdrawn(terminate()));
    assert!(after <= Duration::from_millis(2200), "{after:?}");
    world.page(SPOT, TERMINATE);
    assert_eq!(next(&mut told).await.0, Told::Seen(terminate()), "and may come back");
}

#[tokio::test(start_paused = true)]
async fn a_notice_whose_time_moves_is_never_gone_in_between() {
    let world = World::new();
    world.page(SPOT, TERMINATE);
    let mut told = world.poll(&[]);
    next(&mut told).await;
    world.page(SPOT, r#"{"action":"terminate","time":"2026-11-23T00:05:00Z"}"#);
    let later = Notice { kind: NoticeKind::SpotTerminate, time: Some(WallTime(1_795_392_300_000)) };
    assert_eq!(next(&mut told).await.0, Told::Seen(later));
    assert_eq!(next(&mut told).await.0, Told::Withdrawn(terminate()));
    nothing(&mut told, Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn a_notice_remembered_from_before_a_restart_is_not_told_again_but_its_end_is() {
    let world = World::new();
    world.page(SPOT, TERMINATE);
    let mut told = world.poll(&[terminate(), Notice { kind: NoticeKind::Operator, time: None }]);
    nothing(&mut told, Duration::from_secs(10)).await;
    world.remove(SPOT);
    assert_eq!(next(&mut told).await.0, Told::Withdrawn(terminate()));
    nothing(&mut told, Duration::from_secs(60)).await;
}
