//! What the core shows of itself, sentence by sentence.

use std::collections::BTreeMap;

use pitcrew_core::Core;
use pitcrew_core::lifecycle::LifecycleEvent as E;
use pitcrew_core::memory::{Ending, Memory};
use pitcrew_core::notice::NoticeKind;
use pitcrew_core::readiness::{Code, Readiness};
use pitcrew_core::settings::{Settings, Thresholds};
use pitcrew_core::time::{Now, WallTime};
use pitcrew_core::traffic::Traffic;
use pitcrew_core::view::{HoldView, State};
use pitcrew_core::wire::{Event, HostAgent, TargetState, Verdict};

use crate::stage::{Stage, assert_done, assert_says, secs};

#[test]
fn an_instance_that_serves_says_where() {
    let mut stage = Stage::new().running();
    assert_eq!((stage.view().state, stage.sentence().as_str()), (State::Serving, "in no target group"));
    let mut stage = Stage::new().group("web", &[8080]).running();
    assert_eq!(stage.sentence(), "in traffic: healthy in 1 of 1 target group");
    let mut stage = Stage::new().group("admin", &[9000]).group("web", &[8080]).running();
    assert_eq!(stage.sentence(), "in traffic: healthy in 2 of 2 target groups");
    let view = stage.view();
    assert!(view.settled && view.healthy && view.deployments.is_empty() && view.ended.is_empty());
    assert_eq!(view.targets.len(), 2);
    assert_eq!(view.targets[0].balancer, Some(TargetState::Healthy));
    assert_eq!(view.targets[0].standing, "healthy");
    assert_eq!(view.probes[0].passing, Some(true));
    assert_eq!(view.probes[0].answered_ms, Some(0));
}

#[test]
fn before_the_first_probe_the_instance_starts() {
    let mut stage = Stage::new().group("web", &[8080]);
    stage.probes_answer = false;
    let mut stage = stage.running();
    assert_eq!(stage.view().state, State::Starting);
    assert_eq!(stage.sentence(), "starting: probe `app` has not answered yet");
}

#[test]
fn an_unhealthy_application_in_traffic_is_left_to_the_balancer_and_said() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.app_is_well = false;
    stage.pass(secs(70));
    assert_eq!(stage.view().state, State::Unhealthy);
    assert_eq!(stage.sentence(), "unhealthy: probe `app`: connection refused");
    assert_eq!(stage.ports_in("web"), [8080]);
    assert_eq!(stage.view().targets[0].standing, "unhealthy (Target.FailedHealthChecks)");
    stage.app_is_well = true;
    stage.pass(secs(1));
    assert_eq!(stage.sentence(), "unhealthy: probe `app` passes, but not often enough yet");
}

#[test]
fn a_deployment_says_how_far_it_is() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.connections.insert(8080, Some(2));
    let call = stage.hook("d-1", E::BeforeInstall);
    assert_says(&stage.sentence(), "deployment d-1: looking for target groups");
    stage.pass(secs(1));
    assert_eq!(stage.sentence(), "deployment d-1: 0 of 1 target groups out; web: draining port 8080, settling");
    assert_eq!(stage.view().targets[0].standing, "draining, settling");
    stage.pass(secs(9));
    assert_eq!(stage.view().targets[0].standing, "draining, 2 connections");
    stage.connections.insert(8080, None);
    stage.pass(secs(1));
    assert_eq!(stage.view().targets[0].standing, "draining, connections unknown");
    let deployment = &stage.view().deployments[0];
    assert_eq!((deployment.id.as_str(), deployment.silent_ms, deployment.holds_traffic), ("d-1", 11_000, true));
    stage.connections.insert(8080, Some(0));
    stage.pass(secs(3));
    assert!(stage.answer(call).is_some());
    assert_eq!(stage.sentence(), "deployment d-1: out of traffic");
    let view = stage.view();
    assert_eq!((view.state, view.settled), (State::Deploying, true));
    assert_eq!(view.targets[0].standing, "drained");
    assert!(view.targets[0].taken_out);
}

#[test]
fn the_way_back_is_said_step_by_step() {
    let mut stage = Stage::new().group("web", &[8080]).delay(secs(3)).running();
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.pass(secs(40));
    let call = stage.hook("d-1", E::ValidateService);
    while !stage.said(call).iter().any(|said| said.contains("port 8080 initial")) {
        stage.pass(secs(1));
    }
    assert_eq!(stage.view().state, State::Returning);
    assert_eq!(stage.sentence(), "returning to traffic: web: port 8080 initial");
    assert_done(&stage.wait(call).1);
    let said = stage.said(call);
    assert!(said.iter().any(|said| said.contains("port 8080 not registered yet") || said.contains("not seen yet")));
    assert_eq!(stage.view().ended.len(), 1);
}

#[test]
fn a_hold_shows_its_end_and_a_view_survives_the_wire() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.out(Some(secs(600)));
    let view = stage.view();
    assert_eq!(view.hold, Some(HoldView { until: Some(WallTime(stage.now().wall.0 + 600_000)) }));
    let text = serde_json::to_string(&view).unwrap();
    assert_eq!(serde_json::from_str::<pitcrew_core::view::View>(&text).unwrap(), view);
}

#[test]
fn every_state_has_its_word() {
    let words = [
        (State::Starting, "starting"),
        (State::Serving, "serving"),
        (State::Returning, "returning"),
        (State::Deploying, "deploying"),
        (State::Held, "held"),
        (State::Unhealthy, "unhealthy"),
        (State::Leaving, "leaving"),
    ];
    for (state, word) in words {
        assert_eq!(state.word(), word);
        assert_eq!(serde_json::to_value(state).unwrap(), word);
    }
}

#[test]
fn every_word_for_the_log_is_the_word_on_the_wire() {
    let endings = [
        Ending::Succeeded,
        Ending::HookFailed,
        Ending::SucceededUnheard,
        Ending::Dead,
        Ending::AssumedDead,
        Ending::Superseded,
        Ending::Left,
    ];
    for ending in endings {
        assert_eq!(serde_json::to_value(ending).unwrap(), ending.word().replace('-', "_"));
    }
    let kinds = [
        NoticeKind::SpotTerminate,
        NoticeKind::SpotStop,
        NoticeKind::SpotHibernate,
        NoticeKind::Rebalance,
        NoticeKind::Scheduled,
        NoticeKind::AutoScaling,
        NoticeKind::Elastigroup,
        NoticeKind::Shutdown,
        NoticeKind::Operator,
    ];
    for kind in kinds {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
    }
}

#[test]
fn every_verdict_has_its_exit_status() {
    let table = [
        (Verdict::Done, 0),
        (Verdict::Failed, 1),
        (Verdict::TimedOut, 75),
        (Verdict::Refused, 77),
        (Verdict::Misconfigured, 78),
    ];
    for (verdict, status) in table {
        assert_eq!(verdict.exit_status(), status);
    }
}

#[test]
fn every_state_of_a_target_is_said_and_only_a_draining_one_is_out() {
    let table = [
        (TargetState::Initial, "initial"),
        (TargetState::Healthy, "healthy"),
        (TargetState::Unhealthy("Target.Timeout".into()), "unhealthy (Target.Timeout)"),
        (TargetState::Draining, "draining"),
        (TargetState::NotInUse, "not in use"),
        (TargetState::Unavailable("Elb.InternalError".into()), "unavailable (Elb.InternalError)"),
        (TargetState::Unknown("resting".into()), "unknown state `resting`"),
    ];
    for (state, said) in table {
        assert_eq!(state.to_string(), said);
        assert_eq!(state.is_registered(), state != TargetState::Draining);
    }
}

#[test]
fn readiness_goes_with_what_is_wanted_and_not_with_what_a_balancer_says() {
    let mut stage = Stage::new().group("web", &[8080]).peers(1, 1).running();
    assert_eq!(told(&mut stage), (true, vec![]));
    let stop = stage.hook("d-1", E::BeforeInstall);
    assert_eq!(told(&mut stage), (false, vec![(Code::Deployment, true)]), "as soon as the hook has called");
    assert_done(&stage.wait(stop).1);
    let back = stage.hook("d-1", E::ValidateService);
    while stage.view().wanted != Traffic::In {
        stage.pass(secs(1));
    }
    assert!(stage.answer(back).is_none(), "no balancer has said so yet");
    assert_eq!(told(&mut stage), (true, vec![]), "well, and on the way back");
}

#[test]
fn the_last_healthy_target_stays_ready_while_its_deployment_waits() {
    let mut stage = Stage::new().group("web", &[8080]).peers(1, 0).running();
    stage.hook("d-1", E::BeforeInstall);
    stage.pass(secs(10));
    assert_eq!(told(&mut stage), (true, vec![(Code::Deployment, false), (Code::LastHealthy, false)]));
}

fn told(stage: &mut Stage) -> (bool, Vec<(Code, bool)>) {
    let Readiness { ready, reasons } = stage.view().readiness;
    (ready, reasons.into_iter().map(|reason| (reason.code, reason.blocks)).collect())
}

#[test]
fn an_advisory_probe_that_fails_is_shown_and_takes_nothing_out() {
    let advisory = Thresholds { advisory: true, unhealthy: 1, healthy: 1, ..Thresholds::default() };
    let settings = Settings { probes: BTreeMap::from([("queue".into(), advisory)]), ..Settings::default() };
    let mut core = Core::new(settings, Memory::default(), Now::default());
    core.step(Now::default(), Event::Started);
    core.step(Now::default(), Event::ProbeAnswered { probe: "queue".into(), answer: Err("long".into()) });
    let view = core.view(Now::default());
    assert!(view.healthy && view.probes[0].advisory && view.probes[0].passing == Some(false));
    let reason = view.readiness.reasons.iter().find(|reason| reason.code == Code::Advisory).unwrap();
    assert!(!reason.blocks);
}

#[test]
fn a_reason_is_called_the_same_in_json_in_metrics_and_in_sentences() {
    for code in [
        Code::Leaving,
        Code::Held,
        Code::Deployment,
        Code::Starting,
        Code::Unhealthy,
        Code::Blind,
        Code::LastHealthy,
        Code::AtRisk,
        Code::Advisory,
        Code::Agent,
    ] {
        assert_eq!(serde_json::to_value(code).unwrap(), code.word());
    }
}

#[test]
fn an_agent_of_aws_that_does_not_work_is_said_and_no_reason_to_leave_traffic() {
    let agent = |trouble: Option<&str>| HostAgent {
        name: "codedeploy".into(),
        running: Some(trouble.is_none()),
        version: Some("1.8.1".into()),
        trouble: trouble.map(str::to_owned),
    };
    for veto in [false, true] {
        let settings = Settings { unready_without_agents: veto, ..Settings::default() };
        let mut stage = Stage::with(settings).group("web", &[8080]).running();
        stage.step(Event::AgentsSeen { agents: vec![agent(None)] });
        let view = stage.view();
        assert!(view.readiness.ready && view.readiness.reasons.is_empty() && view.troubles.is_empty());
        assert_eq!(view.host_agents, [agent(None)]);
        stage.step(Event::AgentsSeen { agents: vec![agent(Some("it does not run"))] });
        let view = stage.view();
        assert_eq!((view.readiness.ready, view.readiness.reasons[0].code), (!veto, Code::Agent));
        assert_eq!((view.troubles.as_slice(), view.state), (["it does not run".to_owned()].as_slice(), State::Serving));
        stage.step(Event::AgentsSeen { agents: vec![agent(None)] });
        assert!(stage.view().readiness.ready);
    }
}
