//! The table of lifecycle events, row by row, for both owners of traffic.

use pitcrew_core::lifecycle::LifecycleEvent as E;
use pitcrew_core::memory::Ending;
use pitcrew_core::settings::Settings;
use pitcrew_core::view::State;
use pitcrew_core::wire::{FailureKind, Owner, Verdict};

use crate::stage::{Api, Stage, assert_done, assert_says, secs};

fn owned_by_codedeploy() -> Stage {
    let mut stage = Stage::with(Settings { owner: None, ..Settings::default() }).group("web", &[8080]);
    stage.owner = Owner::CodeDeploy;
    stage.running()
}

#[test]
fn a_whole_deployment_leaves_once_and_returns_once() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    for event in [E::ApplicationStop, E::BeforeInstall] {
        assert_done(&stage.run("d-1", event));
        assert!(stage.ports_in("web").is_empty(), "in traffic after {event}");
    }
    stage.app_is_well = false;
    stage.pass(secs(5));
    for event in [E::AfterInstall, E::ApplicationStart] {
        let call = stage.hook("d-1", event);
        let (took, answer) = stage.wait(call);
        assert_eq!((took, answer.sentence), (secs(0), format!("{event}: noted")));
        assert_eq!(stage.memory().leases[&"d-1".into()].last_event, event);
    }
    let call = stage.hook("d-1", E::ValidateService);
    stage.pass(secs(20));
    assert_says(stage.said(call).last().unwrap(), "waiting for the application: probe `app`: connection refused");
    assert!(stage.ports_in("web").is_empty(), "back before its application");
    stage.app_is_well = true;
    let (took, answer) = stage.wait(call);
    assert_done(&answer);
    assert_says(&answer.sentence, "healthy and in traffic after");
    assert!(took <= secs(7), "fast return took {took:?}");
    assert_eq!((stage.deregistered(), stage.registered()), (1, 1));
    assert_eq!(stage.ports_in("web"), [8080]);
    assert!(stage.memory().leases.is_empty());
    stage.pass(secs(40));
    assert!(stage.memory().taken_out.is_empty(), "forgotten once nothing late can undo it");
    assert_eq!(stage.memory().ending(&"d-1".into()).unwrap().how, Ending::Succeeded);
}

#[test]
fn a_first_deployment_begins_at_before_install() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    assert_done(&stage.run("d-1", E::BeforeInstall));
    assert!(stage.ports_in("web").is_empty());
}

#[test]
fn an_event_that_stops_nothing_takes_nothing_out() {
    for event in [E::AfterInstall, E::ApplicationStart] {
        let mut stage = Stage::new().group("web", &[8080]).running();
        assert_done(&stage.run("d-1", event));
        stage.pass(secs(20));
        assert_eq!(stage.deregistered(), 0, "{event}");
        assert_eq!(stage.view().deployments.len(), 1);
        assert_done(&stage.run("d-1", E::ValidateService));
        assert!(stage.view().deployments.is_empty());
    }
}

#[test]
fn an_application_that_stays_unhealthy_fails_the_deployment_and_stays_out() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.patience = secs(120);
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.app_is_well = false;
    let call = stage.hook("d-1", E::ValidateService);
    let (took, answer) = stage.wait(call);
    assert_eq!((took, answer.verdict), (secs(120), Verdict::Failed));
    assert_says(&answer.sentence, "ValidateService gave up after 120 s: waiting for the application");
    assert_says(&answer.sentence, "staying out of traffic until the application is healthy");
    assert!(stage.ports_in("web").is_empty());
    assert_eq!(stage.view().state, State::Unhealthy);
    assert_says(&stage.sentence(), "unhealthy, staying out of traffic: probe `app`: connection refused");
    stage.app_is_well = true;
    stage.pass(secs(10));
    assert_eq!(stage.ports_in("web"), [8080], "an instance that recovers is not forgotten");
}

#[test]
fn a_target_that_never_becomes_healthy_in_the_balancer_fails_the_deployment_in_bounded_time() {
    let settings = Settings { owner: Some(Owner::Pitcrew), return_within: secs(90), ..Settings::default() };
    let mut stage = Stage::with(settings).group("web", &[8080]).running();
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.fail(Api::Register, 1000, FailureKind::Throttled);
    let call = stage.hook("d-1", E::ValidateService);
    let (took, answer) = stage.wait(call);
    assert_eq!(answer.verdict, Verdict::Failed);
    assert!(took >= secs(90) && took < secs(92), "took {took:?}");
    assert_says(&answer.sentence, "Register failed: Throttled");
    stage.mend(Api::Register);
    stage.pass(secs(30));
    assert_eq!(stage.ports_in("web"), [8080]);
}

#[test]
fn events_of_traffic_control_are_refused_where_pitcrew_moves_traffic() {
    for event in [E::BeforeBlockTraffic, E::AfterBlockTraffic, E::BeforeAllowTraffic, E::AfterAllowTraffic] {
        let mut stage = Stage::new().group("web", &[8080]).running();
        assert_done(&stage.run("d-1", E::BeforeInstall));
        let answer = stage.run("d-1", event);
        assert_eq!(answer.verdict, Verdict::Misconfigured);
        assert_says(&answer.sentence, "two owners would undo each other");
        stage.pass(secs(10));
        assert_eq!(stage.ports_in("web"), [8080], "{event}");
    }
}

#[test]
fn where_codedeploy_moves_traffic_nothing_is_moved_here() {
    let mut stage = owned_by_codedeploy();
    assert_done(&stage.run("d-1", E::BeforeBlockTraffic));
    stage.take_away("web", 8080);
    assert_says(&stage.run("d-1", E::AfterBlockTraffic).sentence, "CodeDeploy took this instance out of traffic");
    for event in [E::ApplicationStop, E::BeforeInstall, E::AfterInstall, E::ApplicationStart] {
        let call = stage.hook("d-1", event);
        let (took, answer) = stage.wait(call);
        assert_eq!((took, answer.sentence), (secs(0), format!("{event}: noted; CodeDeploy moves traffic")));
    }
    stage.app_is_well = false;
    stage.pass(secs(5));
    let call = stage.hook("d-1", E::ValidateService);
    stage.pass(secs(10));
    assert_says(stage.said(call).last().unwrap(), "waiting for the application");
    stage.app_is_well = true;
    assert_done(&stage.wait(call).1);
    assert_done(&stage.run("d-1", E::BeforeAllowTraffic));
    stage.put_back("web", 8080);
    let call = stage.hook("d-1", E::AfterAllowTraffic);
    let (took, answer) = stage.wait(call);
    assert_eq!((answer.verdict, answer.sentence.as_str()), (Verdict::Done, "healthy and in traffic"));
    assert!(took >= secs(3) && took <= secs(5), "waited {took:?} for the balancer");
    assert_eq!((stage.deregistered(), stage.registered()), (0, 0));
    assert!(stage.memory().leases.is_empty());
}

#[test]
fn a_group_that_codedeploy_does_not_know_of_is_said() {
    let mut stage = owned_by_codedeploy();
    assert_done(&stage.run("d-1", E::BeforeBlockTraffic));
    let answer = stage.run("d-1", E::AfterBlockTraffic);
    assert_done(&answer);
    assert_says(&answer.sentence, "still registered in a target group that CodeDeploy does not know of");
}

#[test]
fn the_balancer_is_asked_also_where_the_agent_started_while_the_instance_was_out() {
    let mut stage = owned_by_codedeploy();
    assert_done(&stage.run("d-1", E::BeforeBlockTraffic));
    stage.take_away("web", 8080);
    stage.restart();
    stage.pass(secs(10));
    stage.put_back("web", 8080);
    let call = stage.hook("d-1", E::AfterAllowTraffic);
    let (took, answer) = stage.wait(call);
    assert_done(&answer);
    assert!(took >= secs(2), "did not wait for the balancer: {took:?}");
}

#[test]
fn an_application_that_does_not_come_up_fails_codedeploys_own_deployment_too() {
    let mut stage = owned_by_codedeploy();
    stage.patience = secs(60);
    assert_done(&stage.run("d-1", E::BeforeBlockTraffic));
    stage.app_is_well = false;
    let answer = stage.run("d-1", E::ValidateService);
    assert_eq!(answer.verdict, Verdict::Failed);
    assert_eq!(stage.memory().ending(&"d-1".into()).unwrap().how, Ending::HookFailed);
}

#[test]
fn the_balancer_that_cannot_be_asked_is_said_at_once() {
    for (event, api) in [(E::AfterBlockTraffic, Api::Observe), (E::AfterAllowTraffic, Api::Discover)] {
        let mut stage = owned_by_codedeploy();
        assert_done(&stage.run("d-1", E::BeforeBlockTraffic));
        stage.fail(api, 1000, FailureKind::Denied);
        let call = stage.hook("d-1", event);
        let (took, answer) = stage.wait(call);
        assert_eq!(answer.verdict, Verdict::Misconfigured, "{}", answer.sentence);
        assert!(took < secs(2), "{event} took {took:?}");
    }
}

#[test]
fn who_moves_traffic_is_asked_of_codedeploy_once_for_a_deployment() {
    let mut stage = Stage::with(Settings { owner: None, ..Settings::default() }).group("web", &[8080]).running();
    let call = stage.hook("d-1", E::ApplicationStop);
    assert_says(&stage.said(call)[0], "asking CodeDeploy who moves traffic for web/prod");
    assert_done(&stage.wait(call).1);
    assert_eq!(stage.memory().leases[&"d-1".into()].owner, Owner::Pitcrew);
    assert!(stage.ports_in("web").is_empty());
    stage.fail(Api::LearnOwner, 1000, FailureKind::Denied);
    assert_done(&stage.run("d-1", E::BeforeInstall));
}

#[test]
fn an_owner_that_cannot_be_learned_fails_the_hook_with_what_to_do() {
    let mut stage = Stage::with(Settings { owner: None, ..Settings::default() }).group("web", &[8080]).running();
    stage.fail(Api::LearnOwner, 1000, FailureKind::Denied);
    let answer = stage.run("d-1", E::BeforeInstall);
    assert_eq!(answer.verdict, Verdict::Misconfigured);
    assert_says(&answer.sentence, "LearnOwner failed: Denied; or set [traffic] owner");
    stage.fail(Api::LearnOwner, 1000, FailureKind::Unavailable);
    stage.patience = secs(30);
    let call = stage.hook("d-2", E::BeforeInstall);
    let (took, answer) = stage.wait(call);
    assert_eq!((took, answer.verdict), (secs(30), Verdict::TimedOut));
    assert_eq!(stage.deregistered(), 0);
}

#[test]
fn an_owner_that_is_never_told_does_not_hold_the_hook_beyond_its_time() {
    let mut stage = Stage::with(Settings { owner: None, ..Settings::default() }).group("web", &[8080]).running();
    stage.silent = true;
    stage.patience = secs(30);
    let call = stage.hook("d-1", E::BeforeInstall);
    let (took, answer) = stage.wait(call);
    assert_eq!((took, answer.verdict), (secs(30), Verdict::TimedOut));
    assert_says(&answer.sentence, "asking CodeDeploy who moves traffic");
}
