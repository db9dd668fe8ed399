//! Deployments that nobody speaks of any more: what shows that they live, what shows that they are dead, and what follows.

use std::collections::BTreeMap;
use std::time::Duration;

use pitcrew_core::ids::DeploymentId;
use pitcrew_core::lifecycle::LifecycleEvent as E;
use pitcrew_core::memory::Ending;
use pitcrew_core::settings::{OnDead, Settings};
use pitcrew_core::wire::{Action, DeploymentState, Event, FailureKind, Owner};

use crate::stage::{Api, Stage, Trouble, assert_done, assert_says, secs};

fn ours() -> Settings {
    Settings { owner: Some(Owner::Pitcrew), ..Settings::default() }
}

/// Out of traffic for d-1, with the host agent's directory in sight.
fn deploying(settings: Settings) -> Stage {
    let mut stage = Stage::with(settings).group("web", &[8080]).running();
    executing(&mut stage, &[]);
    executing(&mut stage, &[("d-1", 0)]);
    assert_done(&stage.run("d-1", E::BeforeInstall));
    executing(&mut stage, &[]);
    stage
}

/// The directory shows these deployments, each for so many seconds.
fn executing(stage: &mut Stage, shown: &[(&str, u64)]) {
    let shown: BTreeMap<DeploymentId, Duration> = shown.iter().map(|(id, age)| ((*id).into(), secs(*age))).collect();
    stage.step(Event::CommandsSeen { executing: Some(shown) });
}

fn ending(stage: &Stage) -> Option<Ending> {
    stage.memory().ending(&"d-1".into()).map(|ended| ended.how)
}

fn asked(stage: &Stage, of: impl Fn(&Action) -> bool) -> usize {
    stage.actions.iter().filter(|(_, action)| of(action)).count()
}

fn asked_about_deployment(stage: &Stage) -> usize {
    asked(stage, |action| matches!(action, Action::LearnDeployment { .. }))
}

fn asked_for_replacement(stage: &Stage) -> usize {
    asked(stage, |action| matches!(action, Action::AskReplacement))
}

#[test]
fn a_deployment_whose_command_executes_is_alive_however_long_that_takes() {
    let mut stage = deploying(ours());
    executing(&mut stage, &[("d-1", 0)]);
    stage.deployments.insert("d-1".into(), DeploymentState::Failed);
    stage.pass(secs(3000));
    assert_eq!((asked_about_deployment(&stage), ending(&stage)), (0, None));
    assert!(stage.ports_in("web").is_empty(), "what executes may be replacing the application");
    executing(&mut stage, &[]);
    stage.pass(secs(45));
    assert_eq!(ending(&stage), Some(Ending::Dead));
    assert_eq!(stage.ports_in("web"), [8080]);
}

#[test]
fn a_file_that_a_dead_host_agent_left_behind_keeps_nobody_out_for_ever() {
    let mut stage = deploying(ours());
    executing(&mut stage, &[("d-1", 0)]);
    stage.deployments.insert("d-1".into(), DeploymentState::Failed);
    stage.pass(secs(3590));
    assert_eq!(ending(&stage), None);
    stage.pass(secs(60));
    assert_eq!(ending(&stage), Some(Ending::Dead));
    assert_eq!(stage.ports_in("web"), [8080]);
}

#[test]
fn five_minutes_without_a_command_are_enough_where_codedeploy_cannot_be_asked() {
    let mut stage = deploying(ours());
    stage.fail(Api::LearnDeployment, 100_000, FailureKind::Denied);
    stage.pass(secs(290));
    assert_eq!(ending(&stage), None);
    stage.pass(secs(45));
    assert_eq!(ending(&stage), Some(Ending::AssumedDead));
    assert_eq!(stage.ports_in("web"), [8080]);
}

#[test]
fn nobody_is_called_dead_by_a_directory_that_is_not_watched() {
    let mut stage = deploying(ours());
    stage.fail(Api::LearnDeployment, 100_000, FailureKind::Unavailable);
    stage.pass(secs(200));
    stage.step(Event::CommandsSeen { executing: None });
    stage.pass(secs(1800));
    assert_eq!(ending(&stage), None, "it cannot be read");
    executing(&mut stage, &[]);
    stage.pass(secs(280));
    assert_eq!(ending(&stage), None, "what went on before nobody knows");
    stage.pass(secs(60));
    assert_eq!(ending(&stage), Some(Ending::AssumedDead));
}

#[test]
fn codedeploy_may_be_silent_for_longer_where_it_moves_traffic_itself() {
    let mut stage =
        Stage::with(Settings { owner: Some(Owner::CodeDeploy), ..Settings::default() }).group("web", &[8080]).running();
    executing(&mut stage, &[]);
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.fail(Api::LearnDeployment, 100_000, FailureKind::Denied);
    stage.pass(secs(3600));
    assert_eq!(ending(&stage), None);
}

#[test]
fn a_rollback_takes_over_from_the_deployment_that_it_replaces() {
    let mut stage = deploying(ours());
    stage.app_is_well = false;
    assert_done(&stage.run("d-1-rollback", E::ApplicationStop));
    assert_eq!(ending(&stage), Some(Ending::Superseded));
    assert_done(&stage.run("d-1-rollback", E::BeforeInstall));
    stage.app_is_well = true;
    assert_done(&stage.run("d-1-rollback", E::ValidateService));
    assert_eq!(stage.ports_in("web"), [8080], "back at once: nobody waits for the first one to be found dead");
    assert_eq!((stage.deregistered(), stage.registered()), (1, 1));
}

#[test]
fn a_rollback_that_calls_first_at_its_start_goes_on_keeping_traffic_out() {
    let mut stage = deploying(ours());
    assert_done(&stage.run("d-1-rollback", E::ApplicationStart));
    stage.pass(secs(20));
    assert!(stage.ports_in("web").is_empty(), "its application is being replaced");
    assert_done(&stage.run("d-1-rollback", E::ValidateService));
    assert_eq!(stage.ports_in("web"), [8080]);
}

/// d-1 died and left a broken application.
fn broken(on_dead: OnDead) -> Stage {
    let mut stage = deploying(Settings { on_dead, replace_after: secs(300), ..ours() });
    stage.app_is_well = false;
    stage.deployments.insert("d-1".into(), DeploymentState::Failed);
    stage.pass(secs(60));
    assert_eq!(ending(&stage), Some(Ending::Dead));
    stage
}

#[test]
fn a_broken_application_stays_out_and_says_whose_doing_it_is() {
    let mut stage = broken(OnDead::StayOut);
    stage.pass(secs(1200));
    assert!(stage.ports_in("web").is_empty());
    assert_eq!(asked_for_replacement(&stage), 0);
    assert_says(&stage.view().troubles[0], "deployment d-1 ended (dead) and left the application unhealthy: out until");
    stage.app_is_well = true;
    stage.pass(secs(30));
    assert_eq!(stage.ports_in("web"), [8080]);
    assert!(stage.view().troubles.is_empty() && stage.memory().suspect.is_none());
}

#[test]
fn a_replacement_is_asked_for_when_the_time_for_mending_is_over() {
    let mut stage = broken(OnDead::Replace);
    stage.pass(secs(200));
    assert_eq!(asked_for_replacement(&stage), 0);
    stage.pass(secs(150));
    assert_eq!(asked_for_replacement(&stage), 1);
    stage.restart();
    stage.pass(secs(10));
    assert_eq!(stage.memory().suspect.as_ref().map(|suspect| suspect.how), Some(Ending::Dead), "known after a restart");
}

#[test]
fn no_replacement_is_asked_for_when_the_next_deployment_mends_it_or_an_operator_looks_into_it() {
    let mut stage = broken(OnDead::Replace);
    assert_done(&stage.run("d-1-rollback", E::BeforeInstall));
    stage.app_is_well = true;
    assert_done(&stage.run("d-1-rollback", E::ValidateService));
    stage.pass(secs(900));
    assert_eq!(asked_for_replacement(&stage), 0);

    let mut stage = broken(OnDead::Replace);
    stage.out(None);
    stage.pass(secs(900));
    assert_eq!(asked_for_replacement(&stage), 0);
}

/// CodeDeploy moves traffic, and has blocked this instance for d-1.
fn blocked(settings: Settings) -> Stage {
    let settings = Settings { owner: Some(Owner::CodeDeploy), ..settings };
    let mut stage = Stage::with(settings).group("web", &[8080]).running();
    assert_done(&stage.run("d-1", E::BeforeBlockTraffic));
    stage.take_away("web", 8080);
    assert_done(&stage.run("d-1", E::AfterBlockTraffic));
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.pass(secs(120));
    assert!(stage.ports_in("web").is_empty() && ending(&stage).is_none(), "it lives");
    stage
}

#[test]
fn what_codedeploy_blocked_is_given_back_once_its_deployment_is_known_to_be_dead() {
    for restarts in [false, true] {
        let mut stage = blocked(Settings::default());
        if restarts {
            stage.restart();
        }
        stage.deployments.insert("d-1".into(), DeploymentState::Failed);
        stage.pass(secs(60));
        assert_eq!(ending(&stage), Some(Ending::Dead));
        assert_eq!((stage.ports_in("web"), stage.registered()), (vec![8080], 1), "restarts: {restarts}");
        stage.pass(secs(60));
        assert!(stage.memory().taken_out.is_empty());
    }
}

#[test]
fn what_was_first_seen_after_the_deployment_began_is_given_back_too() {
    let settings = Settings { owner: Some(Owner::CodeDeploy), ..Settings::default() };
    let mut stage = Stage::with(settings).group("web", &[8080]);
    stage.step(Event::Started);
    assert_done(&stage.run("d-1", E::BeforeBlockTraffic));
    stage.pass(secs(1));
    stage.take_away("web", 8080);
    assert_done(&stage.run("d-1", E::AfterBlockTraffic));
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.deployments.insert("d-1".into(), DeploymentState::Failed);
    stage.pass(secs(120));
    assert_eq!((ending(&stage), stage.ports_in("web")), (Some(Ending::Dead), vec![8080]));
}

#[test]
fn who_has_seen_nothing_yet_looks_at_once_before_codedeploy_blocks() {
    for seen in [false, true] {
        let settings = Settings { owner: Some(Owner::CodeDeploy), ..Settings::default() };
        let mut stage = Stage::with(settings).group("web", &[8080]);
        if !seen {
            stage.fail(Api::Observe, 100_000, FailureKind::Unavailable);
        }
        let mut stage = stage.running();
        let before = stage.observed();
        stage.hook("d-1", E::BeforeBlockTraffic);
        stage.pass(Duration::from_millis(10));
        assert_eq!(stage.observed() > before, !seen);
    }
}

#[test]
fn what_codedeploy_blocked_stays_out_while_the_application_is_broken_or_where_the_operator_says_so() {
    let mut stage = blocked(Settings::default());
    stage.app_is_well = false;
    stage.deployments.insert("d-1".into(), DeploymentState::Failed);
    stage.pass(secs(300));
    assert!(stage.ports_in("web").is_empty());
    assert_says(&stage.view().troubles[0], "left the application unhealthy: out until");
    stage.app_is_well = true;
    stage.pass(secs(60));
    assert_eq!(stage.ports_in("web"), [8080]);

    let mut stage = blocked(Settings { return_blocked: false, ..Settings::default() });
    stage.deployments.insert("d-1".into(), DeploymentState::Failed);
    stage.pass(secs(600));
    assert_eq!((ending(&stage), stage.registered()), (Some(Ending::Dead), 0));
}

#[test]
fn a_rollback_of_codedeploys_own_takes_over_what_was_blocked() {
    let mut stage = blocked(Settings::default());
    stage.deployments.insert("d-1".into(), DeploymentState::Failed);
    assert_done(&stage.run("d-1-rollback", E::BeforeBlockTraffic));
    stage.pass(secs(120));
    assert_eq!((ending(&stage), stage.registered()), (Some(Ending::Superseded), 0), "the rollback's business");
    stage.deployments.insert("d-1-rollback".into(), DeploymentState::Failed);
    stage.pass(secs(60));
    assert_eq!(stage.ports_in("web"), [8080]);
}

#[test]
fn codedeploy_blocks_only_after_what_is_being_given_back() {
    let lost = |effect| Trouble::AnswerLost { answer: secs(2), effect: secs(effect) };
    let table = [(None, false, 1), (Some(lost(0)), false, 33), (Some(lost(20)), false, 33), (Some(lost(20)), true, 31)];
    for (trouble, dies, within) in table {
        let mut stage = blocked(Settings::default());
        trouble.into_iter().for_each(|trouble| stage.trouble(Api::Register, 1, trouble));
        stage.deployments.insert("d-1".into(), DeploymentState::Failed);
        while stage.registered() == 0 {
            stage.pass(Duration::from_millis(10));
        }
        if dies {
            stage.restart();
        }
        let call = stage.hook("d-1-rollback", E::BeforeBlockTraffic);
        assert!(stage.answer(call).is_none(), "the call is on its way: {trouble:?}");
        let (waited, answer) = stage.wait(call);
        assert_done(&answer);
        assert!(waited <= secs(within), "{waited:?} after {trouble:?}");
        assert_eq!((stage.ports_in("web"), stage.registered()), (vec![8080], 1), "{trouble:?} has taken effect");
    }
}
