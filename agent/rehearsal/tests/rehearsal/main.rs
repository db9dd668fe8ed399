//! Whole rehearsals under virtual time: the world carries real bytes, and the verdict sees what went wrong.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the stage of a test fails as its test does")]

mod double;
mod interruption;

use std::sync::Arc;
use std::time::Duration;

use pitcrew_rehearsal::bundle::Bundle;
use pitcrew_rehearsal::crew::Services;
use pitcrew_rehearsal::death::Generation;
use pitcrew_rehearsal::host_agent::{HostAgent, Order};
use pitcrew_rehearsal::lifecycle::LifecycleEvent;
use pitcrew_rehearsal::rehearsal::{Hooks, Options, Stage, run};
use pitcrew_rehearsal::timeline::Timeline;
use pitcrew_rehearsal::verdict::{Judgement, Report};
use pitcrew_rehearsal::world::codedeploy::DeploymentGroup;

use double::Double;

fn options() -> Options {
    Options { rate: 25, requests: 500, ..Options::of(Bundle::sample().unwrap()) }
}

fn play(options: &Options) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let stage = Stage::simulated(options, Timeline::default()).await.unwrap();
        run(options, &stage, Double::on(&stage), None).await.unwrap()
    })
}

fn judgement(report: &Report, expectation: &str) -> (Judgement, String) {
    let finding = report.findings.iter().find(|finding| finding.expectation.contains(expectation)).unwrap();
    (finding.judgement, finding.why.clone())
}

fn told(report: &Report) -> String {
    let lines = report.timeline.iter().map(|entry| format!("{:?} {:?} {}\n", entry.at, entry.instance, entry.what));
    lines.collect()
}

#[test]
fn a_deployment_with_hooks_loses_nothing_and_passes() {
    for seed in 1..=10 {
        let report = play(&Options { seed, instances: 2, ..options() });
        assert_eq!(report.load.lost, 0, "seed {seed}\n{}", told(&report));
        assert!(report.passed, "seed {seed}: {:#?}", report.findings);
        assert!(report.load.sent >= 500);
        assert_eq!(report.absences.len(), 2);
        assert!(report.absences.iter().all(|absence| absence.total().is_some()));
        let versions: Vec<_> = report.load.served.iter().map(|served| served.version.as_str()).collect();
        assert!(versions.contains(&"v1") && versions.contains(&"v2"), "{versions:?}");
    }
}

#[test]
fn without_hooks_requests_are_lost_and_the_rehearsal_fails() {
    let report = play(&Options { hooks: Hooks::None, ..options() });
    assert!(report.load.lost > 0, "{}", told(&report));
    assert!(!report.passed);
    assert!(report.reasons[0].contains("no `pitcrew hook` shim"), "{:?}", report.reasons);
}

#[test]
fn a_previous_revision_without_shim_loses_requests_and_is_named_as_the_reason() {
    let report = play(&Options { hooks: Hooks::NewOnly, ..options() });
    assert!(report.load.lost > 0 && !report.passed, "{}", told(&report));
    assert!(
        report.reasons[0].contains("ApplicationStop runs the scripts of the previous revision (v1)"),
        "{:?}",
        report.reasons
    );
}

#[test]
fn a_first_deployment_runs_no_application_stop_and_leaves_traffic_at_before_install() {
    let report = play(&Options { first: true, ..options() });
    assert!(told(&report).contains("ApplicationStop: nothing to run, no revision was installed before"));
    assert_eq!(report.load.lost, 0);
}

#[test]
fn the_same_seed_tells_the_same_story_and_another_seed_another() {
    let story = |seed| {
        let report = play(&Options { seed, ..options() });
        (told(&report), serde_json::to_string(&report).unwrap())
    };
    assert_eq!(story(7), story(7));
    assert_ne!(story(7).0, story(8).0);
}

#[test]
fn a_failure_after_the_stop_leaves_the_instance_out_and_runs_nothing_more() {
    let report = play(&Options { fail_at: Some(LifecycleEvent::ApplicationStart), ..options() });
    let story = told(&report);
    assert!(!story.contains("ValidateService"), "{story}");
    assert_eq!(judgement(&report, "deployment ends").0, Judgement::Held);
    let (judgement, why) = judgement(&report, "back in every place");
    assert_eq!((judgement, why.as_str()), (Judgement::Held, "instance 1 is unhealthy, out, and reported so"));
    assert_eq!(report.load.lost, 0);
}

#[test]
fn an_agent_that_forgets_a_healthy_instance_is_found_out() {
    // The double does not look after dead deployments: the real agent must.
    let report = play(&Options { fail_at: Some(LifecycleEvent::ApplicationStop), ..options() });
    assert_eq!(judgement(&report, "back in every place").0, Judgement::Broken);
    assert_eq!(judgement(&report, "settles").0, Judgement::Broken);
    assert!(!report.passed);
}

#[test]
fn an_agent_that_returns_before_the_last_deployment_is_found_out() {
    let report = play(&Options { overlap: true, ..options() });
    assert_eq!(judgement(&report, "traffic returns once").0, Judgement::Broken, "{}", told(&report));
}

#[tokio::test(start_paused = true)]
async fn a_second_group_on_the_instance_does_not_change_which_release_starts() {
    let stage = Stage::simulated(&options(), Timeline::default()).await.unwrap();
    let (seat, crew) = (stage.world.seats[0].clone(), Double::on(&stage));
    let (world, net) = (Arc::clone(&stage.world), Arc::clone(&stage.net));
    let services = Services::new(seat.clone(), world, Arc::clone(&crew), net, "v1".to_owned(), Duration::ZERO);
    let host = HostAgent::new(seat, Arc::clone(&stage.world), crew, services.clone(), Generation::One);
    let group = |name: &str| DeploymentGroup {
        application: name.to_owned(),
        name: name.to_owned(),
        id: name.to_owned(),
        controls_traffic: None,
        in_place: true,
    };
    let order = |name: &str, revision: Bundle| Order {
        deployment: "d-0".to_owned(),
        group: group(name),
        revision: Arc::new(revision),
        ignores_stop_failures: false,
    };
    for (order, expected) in
        [(order("sidecar", Bundle::sidecar().unwrap()), "v1"), (order("sample", Bundle::sample().unwrap()), "v2")]
    {
        host.preinstall(&order).await.unwrap();
        services.stop().await.unwrap();
        services.start().await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(services.healthy_release().await.as_deref(), Some(expected));
    }
}

#[test]
fn a_delayed_return_of_the_slowest_requests_is_no_loss() {
    let slow = Duration::from_secs(10);
    let report = play(&Options { slow_requests: Some(slow), ..options() });
    assert_eq!(report.load.lost, 0, "{:?}", report.reasons);
    assert!(report.load.latency.max_ms > 5_000.0);
}

#[test]
fn an_idle_instance_is_out_long_before_the_deregistration_delay_ends() {
    let report = play(&options());
    let drain = report.absences[0].drain.unwrap();
    assert!(drain.as_secs() <= 10, "{drain:?} of a delay of 300 s");
}
