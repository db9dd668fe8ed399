//! A target group's states, and what the data plane is told, under random histories.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use pitcrew_rehearsal::balancer::routing::{CheckFailure, CheckPlan, CheckResult, Stance};
use pitcrew_rehearsal::world::targets::{GroupSettings, TargetGroup, TargetId};
use proptest::prelude::*;
use tokio::time::Instant;

const DELAY: Duration = Duration::from_secs(20);
const LAG: Duration = Duration::from_secs(2);

fn group() -> TargetGroup {
    TargetGroup::new(GroupSettings {
        name: "web".to_owned(),
        arn: "arn:web".to_owned(),
        port: 80,
        load_balancer: Some("arn:balancer".to_owned()),
        deregistration_delay: DELAY,
        check: CheckPlan {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            path: "/".to_owned(),
            matcher: 200..=200,
        },
        healthy_threshold: 2,
        unhealthy_threshold: 2,
    })
}

fn address(number: u8) -> IpAddr {
    IpAddr::from([127, 77, 0, number])
}

fn target(number: u8) -> TargetId {
    TargetId { id: format!("i-{number}"), port: 80 }
}

fn endpoint(number: u8) -> SocketAddr {
    SocketAddr::new(address(number), 80)
}

fn failed() -> CheckResult {
    CheckResult::Failed(CheckFailure::Status(503))
}

#[tokio::test(start_paused = true)]
async fn one_passed_check_makes_a_new_target_healthy_but_an_unhealthy_one_needs_the_threshold() {
    let mut group = group();
    let now = Instant::now();
    group.register(now, target(1), address(1), LAG);
    group.checked(now, endpoint(1), &CheckResult::Passed);
    assert_eq!(group.health(now, &target(1)).state, "initial", "the data plane does not know it yet");
    let now = now + LAG;
    group.checked(now, endpoint(1), &CheckResult::Passed);
    assert!(group.health(now, &target(1)).is_healthy());
    group.checked(now, endpoint(1), &failed());
    assert!(group.health(now, &target(1)).is_healthy(), "one failure is tolerated");
    group.checked(now, endpoint(1), &failed());
    let health = group.health(now, &target(1));
    assert_eq!((health.state, health.reason), ("unhealthy", Some("Target.ResponseCodeMismatch")));
    group.checked(now, endpoint(1), &CheckResult::Passed);
    assert_eq!(group.health(now, &target(1)).state, "unhealthy");
    group.checked(now, endpoint(1), &CheckResult::Passed);
    assert!(group.health(now, &target(1)).is_healthy());
}

#[tokio::test(start_paused = true)]
async fn requests_still_come_until_the_data_plane_has_heard_of_a_deregistration() {
    let mut group = group();
    let now = Instant::now();
    group.place_healthy(target(1), address(1));
    group.deregister(now, &target(1), LAG);
    assert_eq!(group.health(now, &target(1)).state, "draining");
    assert_eq!(group.routes(now)[0].stance, Stance::Serving);
    let heard = now + LAG;
    assert_eq!(group.routes(heard)[0].stance, Stance::Draining { until: now + DELAY });
    assert!(group.routes(now + DELAY).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_target_registered_again_while_draining_keeps_what_it_carries() {
    let mut group = group();
    let now = Instant::now();
    group.place_healthy(target(1), address(1));
    group.deregister(now, &target(1), Duration::ZERO);
    let later = now + Duration::from_secs(5);
    assert!(group.register(later, target(1), address(1), LAG));
    assert_eq!(group.health(later, &target(1)).state, "initial");
    assert_eq!(group.routes(later)[0].stance, Stance::Draining { until: now + DELAY });
    assert_eq!(group.routes(later + LAG)[0].stance, Stance::Checked);
    assert_eq!(group.routes(now + DELAY + DELAY).len(), 1, "the old delay does not end the new registration");
}

#[tokio::test(start_paused = true)]
async fn with_every_target_unhealthy_requests_go_to_all() {
    let mut group = group();
    let now = Instant::now();
    for number in [1, 2] {
        group.place_healthy(target(number), address(number));
    }
    let stances = |group: &mut TargetGroup| -> Vec<_> { group.routes(now).iter().map(|route| route.stance).collect() };
    for _ in 0..2 {
        group.checked(now, endpoint(1), &failed());
    }
    assert_eq!(stances(&mut group), [Stance::Checked, Stance::Serving]);
    for _ in 0..2 {
        group.checked(now, endpoint(2), &failed());
    }
    assert_eq!(stances(&mut group), [Stance::Serving, Stance::Serving]);
}

#[derive(Debug, Clone)]
enum Step {
    Register(u8),
    Deregister(u8),
    Check(u8, bool),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = 1..4_u8;
    let step = prop_oneof![
        number.clone().prop_map(Step::Register),
        number.clone().prop_map(Step::Deregister),
        (number, any::<bool>()).prop_map(|(number, passed)| Step::Check(number, passed)),
        (1..8000_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    /// The API's word and the data plane's knowledge never contradict each other, whatever happens in which order.
    #[test]
    fn the_data_plane_carries_only_what_the_api_explains(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let _inside = runtime.enter();
        let mut group = group();
        let mut now = Instant::now();
        let mut left: [Option<Instant>; 4] = [None; 4];
        for step in steps {
            match step {
                Step::Register(number) => {
                    if group.register(now, target(number), address(number), LAG) {
                        left[usize::from(number)] = None;
                        prop_assert_eq!(group.health(now, &target(number)).state, "initial");
                    }
                }
                Step::Deregister(number) => {
                    if group.deregister(now, &target(number), LAG) {
                        left[usize::from(number)] = Some(now);
                    }
                }
                Step::Check(number, true) => {
                    group.checked(now, endpoint(number), &CheckResult::Passed);
                }
                Step::Check(number, false) => {
                    group.checked(now, endpoint(number), &failed());
                }
                Step::Wait(milliseconds) => now += Duration::from_millis(milliseconds),
            }
            let routes = group.routes(now);
            let any_healthy = (1..4).any(|number| group.health(now, &target(number)).is_healthy());
            for number in 1..4_u8 {
                let health = group.health(now, &target(number));
                let stance = routes.iter().find(|route| route.endpoint == endpoint(number)).map(|route| route.stance);
                let since = left[usize::from(number)].map(|at| now - at);
                match health.state {
                    "healthy" => prop_assert_eq!(stance, Some(Stance::Serving)),
                    "unhealthy" => prop_assert_eq!(stance == Some(Stance::Serving), !any_healthy),
                    "initial" => prop_assert!(!(any_healthy && stance == Some(Stance::Serving))),
                    "draining" => {
                        let since = since.unwrap();
                        prop_assert!(since < DELAY);
                        prop_assert!(stance.is_some());
                        prop_assert!(since < LAG || stance != Some(Stance::Serving));
                    }
                    "unused" => {
                        prop_assert_eq!(stance, None);
                        prop_assert!(since.is_none_or(|since| since >= DELAY));
                    }
                    other => prop_assert!(false, "unknown state {}", other),
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_gone_gets_requests_until_the_data_plane_has_heard_of_it() {
    let now = Instant::now();
    let mut group = group();
    for number in 1..=3 {
        group.place_healthy(target(number), address(number));
    }
    group.deregister(now, &target(2), Duration::ZERO);
    for number in 1..=2 {
        group.instance_gone(now, &target(number).id, Duration::from_secs(2));
    }
    let health = group.health(now, &target(1));
    assert_eq!((health.state, health.reason), ("unused", Some("Target.InvalidState")));
    assert_eq!(group.health(now, &target(2)).reason, Some("Target.NotRegistered"), "nothing drains there any more");
    let served = |group: &mut TargetGroup, at: Instant| {
        let serving = group.routes(at).into_iter().filter(|route| route.stance == Stance::Serving);
        serving.map(|route| route.endpoint).collect::<Vec<_>>()
    };
    assert_eq!(served(&mut group, now + Duration::from_secs(1)), [endpoint(1), endpoint(3)]);
    assert_eq!(served(&mut group, now + Duration::from_secs(2)), [endpoint(3)]);
    assert_eq!((group.registered_beside(now, "i-other"), group.healthy_beside(now, "i-other")), (1, 1));
    assert!(group.deregister(now, &target(1), Duration::ZERO), "it can be taken off the list");
    assert_eq!(group.health(now, &target(1)).reason, Some("Target.NotRegistered"));
}
