//! Deployments that do not go by the book: overlapping, cancelled, late, dead.

use pitcrew_core::ids::DeploymentGroup;
use pitcrew_core::lifecycle::LifecycleEvent as E;
use pitcrew_core::memory::Ending;
use pitcrew_core::settings::Settings;
use pitcrew_core::wire::{Action, DeploymentState, Event, FailureKind, Owner, Verdict};

use crate::stage::{Api, Stage, assert_done, assert_says, secs};

/// Out of traffic for `d-1`.
fn deploying() -> Stage {
    let mut stage = Stage::new().group("web", &[8080]).running();
    assert_done(&stage.run("d-1", E::BeforeInstall));
    assert!(stage.ports_in("web").is_empty());
    stage
}

fn ending(stage: &Stage, deployment: &str) -> Option<Ending> {
    stage.memory().ending(&deployment.into()).map(|ended| ended.how)
}

#[test]
fn two_overlapping_deployments_return_once_after_the_last() {
    let mut stage = deploying();
    assert_done(&stage.run("d-2", E::BeforeInstall));
    let answer = stage.run("d-1", E::ValidateService);
    assert_done(&answer);
    assert_says(&answer.sentence, "healthy; traffic returns after deployment d-2");
    stage.pass(secs(20));
    assert!(stage.ports_in("web").is_empty());
    assert_done(&stage.run("d-2", E::ValidateService));
    assert_eq!((stage.deregistered(), stage.registered()), (1, 1));
}

#[test]
fn a_second_deployment_takes_traffic_out_again_while_the_first_waits_for_its_return() {
    let mut stage = deploying();
    let first = stage.hook("d-1", E::ValidateService);
    stage.pass(secs(2));
    assert_eq!(stage.ports_in("web"), [8080], "on the way back");
    let second = stage.hook("d-2", E::BeforeInstall);
    assert_says(&stage.wait(first).1.sentence, "healthy; traffic returns after deployment d-2");
    assert_done(&stage.wait(second).1);
    assert!(stage.ports_in("web").is_empty());
}

#[test]
fn a_cancelled_hook_gives_back_what_it_took() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.connections.insert(8080, Some(1));
    let call = stage.hook("d-1", E::ApplicationStop);
    stage.pass(secs(10));
    assert!(stage.ports_in("web").is_empty());
    stage.abandon(call);
    let answer = stage.answer(call).unwrap().clone();
    assert_eq!(answer.verdict, Verdict::TimedOut);
    assert_says(&answer.sentence, "ApplicationStop was stopped: returning to traffic");
    stage.pass(secs(10));
    assert_eq!(stage.ports_in("web"), [8080]);
    assert_eq!(ending(&stage, "d-1"), Some(Ending::HookFailed));
    stage.abandon(call);
    stage.pass(secs(40));
    assert!(stage.memory().taken_out.is_empty());
}

#[test]
fn what_follows_a_cancelled_hook_is_said_as_it_will_be() {
    let mut stage = deploying();
    let second = stage.hook("d-2", E::BeforeInstall);
    assert_done(&stage.wait(second).1);
    let call = stage.hook("d-2", E::ValidateService);
    stage.abandon(call);
    assert_says(&stage.answer(call).unwrap().sentence, "traffic returns after deployment d-1");

    let mut stage = deploying();
    stage.app_is_well = false;
    stage.pass(secs(5));
    let call = stage.hook("d-1", E::ValidateService);
    stage.abandon(call);
    assert_says(&stage.answer(call).unwrap().sentence, "staying out of traffic until the application is healthy");

    let mut stage = deploying();
    stage.out(None);
    stage.app_is_well = false;
    let call = stage.hook("d-1", E::ValidateService);
    stage.abandon(call);
    assert_says(&stage.answer(call).unwrap().sentence, "held out of traffic by an operator");
}

#[test]
fn a_hook_that_is_called_again_survives_the_end_of_its_first_connection() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    let first = stage.hook("d-1", E::ApplicationStop);
    stage.pass(secs(1));
    let second = stage.hook("d-1", E::ApplicationStop);
    stage.abandon(first);
    assert_done(&stage.wait(second).1);
    assert_eq!(stage.deregistered(), 1);
}

#[test]
fn two_calls_that_give_up_leave_no_deployment_behind() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.connections.insert(8080, Some(1));
    stage.patience = secs(20);
    let first = stage.hook("d-1", E::BeforeInstall);
    stage.pass(secs(5));
    let second = stage.hook("d-1", E::BeforeInstall);
    assert_eq!(stage.wait(first).1.verdict, Verdict::TimedOut);
    assert_eq!(stage.wait(second).1.verdict, Verdict::Failed);
    stage.pass(secs(10));
    assert!(stage.memory().leases.is_empty());
    assert_eq!(stage.ports_in("web"), [8080]);
}

#[test]
fn validate_service_twice_is_answered_twice() {
    let mut stage = deploying();
    let first = stage.hook("d-1", E::ValidateService);
    let second = stage.hook("d-1", E::ValidateService);
    assert_done(&stage.wait(first).1);
    assert_done(&stage.wait(second).1);
    stage.pass(secs(60));
    let third = stage.run("d-1", E::ValidateService);
    assert_says(&third.sentence, "this deployment already ended well here");
    assert_eq!((stage.deregistered(), stage.registered()), (1, 1));
    assert!(stage.memory().leases.is_empty());
}

#[test]
fn a_late_hook_of_an_ended_deployment_moves_nothing() {
    let mut stage = deploying();
    let call = stage.hook("d-1", E::AfterInstall);
    assert_done(&stage.wait(call).1);
    let call = stage.hook("d-1", E::ValidateService);
    stage.abandon(call);
    stage.pass(secs(20));
    for event in [E::ApplicationStop, E::BeforeInstall, E::ApplicationStart, E::ValidateService] {
        let answer = stage.run("d-1", event);
        assert_eq!(answer.verdict, Verdict::Failed);
        assert_says(&answer.sentence, "deployment d-1 already ended here (hook-failed): traffic stays as it is");
    }
    assert_eq!(stage.ports_in("web"), [8080]);
    assert!(stage.memory().leases.is_empty());
}

#[test]
fn a_deployment_whose_hooks_come_and_wait_is_not_asked_about() {
    let mut stage = Stage::new().group("web", &[8080]).delay(secs(120)).running();
    stage.connections.insert(8080, None);
    assert_done(&stage.run("d-1", E::BeforeInstall));
    for event in [E::AfterInstall, E::ApplicationStart, E::ValidateService] {
        stage.pass(secs(25));
        assert_done(&stage.run("d-1", event));
    }
    let asked = stage.actions.iter().any(|(_, action)| matches!(action, Action::LearnDeployment { .. }));
    assert!(!asked, "it was never silent for 30 s");
}

#[test]
fn a_dead_deployment_is_closed_by_what_codedeploy_says() {
    for (state, how) in
        [(DeploymentState::Failed, Ending::Dead), (DeploymentState::Succeeded, Ending::SucceededUnheard)]
    {
        let mut stage = deploying();
        stage.pass(secs(300));
        assert!(stage.ports_in("web").is_empty(), "runs, says CodeDeploy");
        stage.deployments.insert("d-1".into(), state);
        stage.pass(secs(45));
        assert_eq!(ending(&stage, "d-1"), Some(how));
        assert_eq!(stage.ports_in("web"), [8080]);
    }
}

#[test]
fn a_dead_deployment_with_a_broken_application_stays_out_and_says_so() {
    let mut stage = deploying();
    stage.app_is_well = false;
    stage.deployments.insert("d-1".into(), DeploymentState::Failed);
    stage.pass(secs(120));
    assert!(stage.ports_in("web").is_empty() && stage.memory().leases.is_empty());
    assert_says(&stage.sentence(), "unhealthy, staying out of traffic");
}

#[test]
fn a_deployment_that_cannot_be_asked_about_is_taken_for_dead_after_its_time() {
    let settings = Settings { owner: Some(Owner::Pitcrew), assume_dead_after: secs(600), ..Settings::default() };
    let mut stage = Stage::with(settings).group("web", &[8080]).running();
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.fail(Api::LearnDeployment, 100_000, FailureKind::Denied);
    stage.pass(secs(590));
    assert_eq!(ending(&stage, "d-1"), None);
    assert_says(&stage.view().troubles[0], "LearnDeployment failed: Denied");
    stage.pass(secs(50));
    assert_eq!(ending(&stage, "d-1"), Some(Ending::AssumedDead));
    assert_eq!(stage.ports_in("web"), [8080]);
    assert!(stage.view().troubles.is_empty());

    // It was alive after all.
    assert_done(&stage.run("d-1", E::BeforeInstall));
    assert!(stage.ports_in("web").is_empty());
    assert_eq!(stage.memory().leases.len(), 1);
    assert_done(&stage.run("d-1", E::ValidateService));
}

#[test]
fn an_old_answer_does_not_end_a_deployment_whose_hook_waits() {
    let mut stage = deploying();
    stage.silent = true;
    stage.deployments.insert("d-1".into(), DeploymentState::Failed);
    stage.pass(secs(40));
    stage.app_is_well = false;
    let call = stage.hook("d-1", E::ValidateService);
    stage.pass(secs(60));
    stage.speak_up();
    stage.pass(secs(5));
    assert_eq!(stage.answer(call), None);
    stage.app_is_well = true;
    assert_done(&stage.wait(call).1);
    assert_eq!(ending(&stage, "d-1"), Some(Ending::Succeeded));
}

#[test]
fn who_owns_one_groups_traffic_is_not_said_of_another_group() {
    let mut stage = Stage::with(Settings::default()).group("web", &[8080]).running();
    stage.silent = true;
    let waits = stage.hook("d-1", E::BeforeInstall);
    let answered = stage.hook("other", E::BeforeInstall);
    let group = DeploymentGroup { application: "web".into(), name: "other".into() };
    stage.step(Event::OwnerLearned { group, answer: Ok(Owner::CodeDeploy) });
    assert_done(&stage.wait(answered).1);
    assert_eq!(stage.answer(waits), None);
    let known: Vec<_> = stage.memory().leases.iter().map(|(id, lease)| (id.as_str(), lease.owner)).collect();
    assert_eq!(known, [("other", Owner::CodeDeploy)]);
    stage.speak_up();
    assert_done(&stage.wait(waits).1);
    assert_eq!(stage.memory().leases[&"d-1".into()].owner, Owner::Pitcrew);
}

#[test]
fn a_rollback_is_a_deployment_of_its_own() {
    let mut stage = deploying();
    stage.app_is_well = false;
    let call = stage.hook("d-1", E::ApplicationStart);
    assert_done(&stage.wait(call).1);
    let call = stage.hook("d-1", E::ValidateService);
    stage.abandon(call);
    assert_done(&stage.run("d-2", E::ApplicationStop));
    assert_done(&stage.run("d-2", E::BeforeInstall));
    stage.app_is_well = true;
    assert_done(&stage.run("d-2", E::ValidateService));
    assert_eq!((stage.deregistered(), stage.registered()), (1, 1));
    assert_eq!(stage.ports_in("web"), [8080]);
}

#[test]
fn a_restart_at_any_moment_keeps_the_deployment_going() {
    for after in 0..12 {
        let mut stage = Stage::new().group("web", &[8080, 8081]).running();
        stage.hook("d-1", E::ApplicationStop);
        stage.pass(secs(after));
        stage.restart();
        stage.pass(secs(1));
        assert_done(&stage.run("d-1", E::ApplicationStop));
        assert!(stage.ports_in("web").is_empty());
        stage.restart();
        let call = stage.hook("d-1", E::ValidateService);
        stage.pass(secs(after));
        stage.restart();
        assert_done(&stage.run("d-1", E::ValidateService));
        assert_eq!(stage.ports_in("web"), [8080, 8081]);
        let _ = call;
    }
}
