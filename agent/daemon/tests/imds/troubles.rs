//! Troubles around a notice: what is said of them, and what they do not disturb.

use std::time::Duration;

use pitcrew::intake::imds::{NoticePoller, Sight};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::poller::{TERMINATE, Told, calendar, next, nothing, terminate};
use crate::world::{Fault, World};
use crate::{LIFECYCLE, REBALANCE, SCHEDULED, SPOT};

const FAULTS: [Fault; 9] = [
    Fault::Empty,
    Fault::Status(401),
    Fault::Status(403),
    Fault::Status(500),
    Fault::Status(503),
    Fault::Hang,
    Fault::Refuse,
    Fault::Page("<html>a captive portal</html>"),
    Fault::Page("{}"),
];

#[tokio::test(start_paused = true)]
async fn half_a_minute_of_any_trouble_is_said_and_a_notice_is_seen_when_it_ends() {
    for fault in FAULTS {
        for phase in 0..8 {
            let world = World::new();
            let mut told = world.poll(&[]);
            sleep(Duration::from_millis(10_000 + 131 * phase)).await;
            world.fault(fault);
            let requests = world.transport.seen().len();
            let (sight, after) = next(&mut told).await;
            assert!(matches!(sight, Told::Sight(Sight::Blind { .. })), "{fault:?}: {sight:?}");
            assert!(after <= Duration::from_millis(6500), "{fault:?}: blind after {after:?}");
            nothing(&mut told, Duration::from_secs(30) - after).await;
            let requests = world.transport.seen().len() - requests;
            assert!(requests <= 110, "{fault:?}: {requests} requests in 30 s of trouble");
            world.page(SPOT, TERMINATE);
            world.fault(None);
            let (sight, after) = next(&mut told).await;
            assert!(matches!(sight, Told::Sight(Sight::Seeing { .. })), "{fault:?}: {sight:?}");
            assert!(after <= Duration::from_millis(1500), "{fault:?}: seeing after {after:?}");
            assert_eq!(next(&mut told).await, (Told::Seen(terminate()), Duration::ZERO), "{fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_standing_notice_is_not_withdrawn_by_trouble() {
    for fault in FAULTS {
        let world = World::new();
        world.page(SPOT, TERMINATE);
        let mut told = world.poll(&[]);
        next(&mut told).await;
        world.fault(fault);
        assert!(matches!(next(&mut told).await.0, Told::Sight(Sight::Blind { .. })), "{fault:?}");
        nothing(&mut told, Duration::from_secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_is_answered_by_asking_less_but_never_by_looking_away() {
    let world = World::new();
    let mut told = world.poll(&[]);
    sleep(Duration::from_secs(10)).await;
    world.fault_at(SPOT, Fault::Status(429));
    let before = world.asked(SPOT);
    sleep(Duration::from_secs(60)).await;
    let polls = world.asked(SPOT) - before;
    assert!((13..=20).contains(&polls), "{polls} polls in a minute of throttling");
    world.mend_paths();
    world.page(SPOT, TERMINATE);
    assert!(matches!(next(&mut told).await.0, Told::Sight(Sight::Blind { .. })));
    let (seeing, after) = next(&mut told).await;
    assert!(matches!(seeing, Told::Sight(Sight::Seeing { .. })), "{seeing:?}");
    assert!(after < Duration::from_secs(5), "{after:?}");
    assert_eq!(next(&mut told).await.0, Told::Seen(terminate()));
}

#[tokio::test(start_paused = true)]
async fn a_path_that_hangs_does_not_hold_up_an_interruption() {
    let world = World::new();
    for path in [REBALANCE, LIFECYCLE, SCHEDULED] {
        world.fault_at(path, Fault::Hang);
    }
    let mut told = world.poll(&[]);
    for phase in 0..10 {
        sleep(Duration::from_millis(5_000 + 97 * phase)).await;
        world.page(SPOT, TERMINATE);
        let (seen, after) = next(&mut told).await;
        assert_eq!(seen, Told::Seen(terminate()));
        assert!(after <= Duration::from_millis(1100), "{after:?}");
        world.remove(SPOT);
        assert_eq!(next(&mut told).await.0, Told::Withdrawn(terminate()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_hour_costs_at_most_90_requests_a_minute() {
    let world = World::new();
    let mut told = world.poll(&[]);
    nothing(&mut told, Duration::from_secs(3600)).await;
    let requests = world.transport.seen().len();
    assert!((60 * 70..=60 * 90).contains(&requests), "{requests} requests in an hour");
    assert_eq!(world.asked("api/token"), 1);
}

#[tokio::test(start_paused = true)]
async fn polling_ends_when_nobody_listens() {
    let world = World::new();
    let (sender, receiver) = mpsc::channel::<Told>(1);
    let poller = NoticePoller::new(world.imds.clone(), Duration::from_secs(1), 42, calendar(), &[]);
    let polling = tokio::spawn(poller.run(sender));
    sleep(Duration::from_secs(3)).await;
    drop(receiver);
    timeout(Duration::from_millis(1), polling).await.expect("at once").unwrap();
}
