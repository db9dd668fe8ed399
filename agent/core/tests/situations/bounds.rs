//! Where one more or one less makes the difference: how often, how long, and which of two reasons is enough.

use std::time::Duration;

use pitcrew_core::elastigroup::{Order, Process, ReadyAfter, Settings as Elastigroup, Signal};
use pitcrew_core::leaving::Stage as Step;
use pitcrew_core::lifecycle::LifecycleEvent as E;
use pitcrew_core::notice::NoticeKind;
use pitcrew_core::readiness::Code;
use pitcrew_core::settings::{OnNotice, Settings};
use pitcrew_core::standing::DrainEnd;
use pitcrew_core::wire::{Action, DeploymentState, Event, FailureKind, Owner, Verdict};

use crate::stage::{Api, Stage, assert_done, assert_says, secs};

fn owned_by(owner: Owner) -> Stage {
    let settings = Settings { owner: Some(owner), elastigroup: Some(Elastigroup::default()), ..Settings::default() };
    Stage::with(settings).group("web", &[8080]).running()
}

#[test]
fn a_group_that_was_deleted_is_told_of_three_calls_and_no_fourth() {
    let mut stage = Stage::new().group("old", &[9000]).running();
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.fail(Api::Register, 1000, FailureKind::NotFound);
    stage.run("d-1", E::ValidateService);
    stage.pass(secs(600));
    assert_eq!(stage.registered(), 3);
    assert!(stage.memory().taken_out.is_empty());
}

#[test]
fn an_instance_that_leaves_looks_more_often_only_where_codedeploy_will_put_it_back() {
    let looks = |owner: Owner| {
        let mut stage = Stage::with(Settings { owner: Some(owner), ..Settings::default() }).group("web", &[8080]);
        stage = stage.running();
        assert_done(&stage.run("d-1", E::BeforeInstall));
        stage.fail(Api::DrainScripts, u32::MAX, FailureKind::Unavailable);
        stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
        stage.pass(secs(40));
        let before = stage.observed();
        stage.pass(secs(30));
        stage.observed() - before
    };
    let (ours, codedeploys) = (looks(Owner::Pitcrew), looks(Owner::CodeDeploy));
    assert!((3..=12).contains(&ours), "{ours} looks in half a minute");
    assert!(codedeploys >= 15, "{codedeploys} looks in half a minute");
}

#[test]
fn only_a_group_without_others_is_said_to_be_left_empty() {
    for (peers, is_said) in [(1, false), (0, true)] {
        let mut stage = Stage::new().group("web", &[8080]).peers(peers, peers).running();
        let answer = stage.run("d-1", E::BeforeInstall);
        assert_done(&answer);
        assert_eq!(answer.sentence.contains("no other target"), is_said, "{}", answer.sentence);
    }
}

#[test]
fn a_call_for_standby_whose_answer_was_lost_may_have_taken_effect_and_is_remembered() {
    let mut stage = owned_by(Owner::Elastigroup);
    stage.fail(Api::Elastigroup, u32::MAX, FailureKind::Unavailable);
    stage.hook("d-1", E::BeforeInstall);
    while !stage.orders().contains(&Order::EnterStandby) {
        stage.pass(Duration::from_millis(10));
    }
    stage.pass(Duration::from_millis(60));
    assert!(stage.memory().elastigroup.standby.is_some(), "or a crash now would leave it in standby for ever");
}

#[test]
fn elastigroup_that_puts_an_instance_back_late_is_waited_for() {
    let mut stage = owned_by(Owner::Elastigroup);
    assert_done(&stage.run("d-1", E::BeforeInstall));
    // It answers at once, and the look shows what was for a while.
    stage.looks_fall_behind();
    let hook = stage.hook("d-1", E::ValidateService);
    stage.pass(secs(15));
    assert_eq!(stage.registered(), 0, "what Elastigroup does itself is not done beside it");
    stage.pass(secs(30));
    assert!(stage.registered() >= 1, "and then it is");
    stage.looks_catch_up();
    assert_done(&stage.wait(hook).1);
}

#[test]
fn a_detach_that_a_tag_tells_has_the_time_that_the_group_gives() {
    let mut stage = owned_by(Owner::Pitcrew);
    stage.notice(NoticeKind::Elastigroup, None);
    let leaving = stage.memory().leaving.clone().unwrap();
    assert!(leaving.notices[0].time.is_some(), "{leaving:?}");
}

#[test]
fn a_hook_that_comes_after_a_deployment_ended_well_is_told_so_and_only_the_last_one_is_done() {
    for (event, verdict) in [
        (E::AfterInstall, Verdict::Failed),
        (E::ApplicationStart, Verdict::Failed),
        (E::ValidateService, Verdict::Done),
    ] {
        let mut stage = Stage::new().group("web", &[8080]).running();
        assert_done(&stage.run("d-1", E::BeforeInstall));
        assert_done(&stage.run("d-1", E::ValidateService));
        let answer = stage.run("d-1", event);
        assert_eq!(answer.verdict, verdict, "{event}: {}", answer.sentence);
        assert_says(&answer.sentence, "already ended");
        assert_eq!(stage.ports_in("web"), [8080]);
    }
}

#[test]
fn what_codedeploy_says_that_it_moved_is_looked_at_at_once() {
    let mut stage = Stage::with(Settings { owner: Some(Owner::CodeDeploy), ..Settings::default() });
    stage = stage.group("web", &[8080]).running();
    assert_done(&stage.run("d-1", E::BeforeBlockTraffic));
    stage.pass(secs(1));
    stage.take_away("web", 8080);
    let before = stage.observed();
    stage.hook("d-1", E::AfterBlockTraffic);
    assert_eq!(stage.observed(), before + 1, "in the very step in which the hook came");
}

#[test]
fn an_elastigroup_is_asked_rarely_while_nothing_happens() {
    let mut stage = owned_by(Owner::Pitcrew);
    stage.pass(secs(3_600));
    let looks = stage.actions.iter().filter(|(_, action)| matches!(action, Action::Elastigroup(Order::Look))).count();
    assert!((2..=60).contains(&looks), "{looks} looks in an hour");
}

#[test]
fn standby_that_may_not_be_left_is_remembered_until_it_is() {
    let mut stage = owned_by(Owner::Elastigroup);
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.fail(Api::Elastigroup, u32::MAX, FailureKind::Denied);
    stage.run("d-1", E::ValidateService);
    stage.pass(secs(60));
    assert!(stage.memory().elastigroup.standby.is_some(), "Elastigroup has not said that it is over");
    stage.mend(Api::Elastigroup);
    stage.pass(secs(600));
    assert_eq!(stage.memory().elastigroup.standby, None);
}

#[test]
fn a_group_that_may_not_be_read_is_told_that_the_instance_is_ready_all_the_same() {
    let elastigroup = Elastigroup { ready: ReadyAfter::Boot, ..Elastigroup::default() };
    let settings = Settings { owner: Some(Owner::Pitcrew), elastigroup: Some(elastigroup), ..Settings::default() };
    let mut stage = Stage::with(settings).group("web", &[8080]);
    stage.fail(Api::Elastigroup, u32::MAX, FailureKind::Denied);
    let mut stage = stage.running();
    stage.pass(secs(600));
    let ready = stage.actions.iter().any(|(_, action)| *action == Action::Elastigroup(Order::Signal(Signal::Ready)));
    assert!(ready, "{:?}", stage.orders());
}

#[test]
fn an_instance_that_others_took_out_for_a_moment_is_watched_for_three_minutes() {
    let looks =
        |stage: &Stage| stage.actions.iter().filter(|(_, action)| *action == Action::Elastigroup(Order::Look)).count();
    for _again in 0..2 {
        let mut stage = owned_by(Owner::Pitcrew);
        stage.pass(secs(600));
        stage.take_away("web", 8080);
        stage.pass(secs(70));
        stage.put_back("web", 8080);
        stage.pass(secs(70));
        let before = looks(&stage);
        stage.pass(secs(30));
        assert!(looks(&stage) - before >= 4, "{} looks in half a minute", looks(&stage) - before);
        stage.pass(secs(600));
        let calm = looks(&stage);
        stage.pass(secs(300));
        assert!(looks(&stage) - calm <= 11, "{} looks in five minutes afterwards", looks(&stage) - calm);
    }
}

#[test]
fn what_codedeploy_has_just_put_back_is_not_called_healthy_by_an_older_look() {
    let mut stage = Stage::with(Settings { owner: Some(Owner::CodeDeploy), ..Settings::default() });
    stage = stage.group("web", &[8080]).running();
    assert_done(&stage.run("d-1", E::BeforeBlockTraffic));
    // Out and in again before the next look.
    stage.take_away("web", 8080);
    stage.put_back("web", 8080);
    let hook = stage.hook("d-1", E::AfterAllowTraffic);
    let (took, answer) = stage.wait(hook);
    assert_done(&answer);
    assert!(took >= secs(2), "healthy after three seconds, and answered after {took:?}");
}

#[test]
fn a_drain_is_said_to_be_cut_short_only_where_the_time_was_over() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.connections.insert(8080, Some(1));
    stage.fail(Api::DrainScripts, u32::MAX, FailureKind::Unavailable);
    stage.notice(NoticeKind::SpotTerminate, Some(secs(60)));
    stage.pass(secs(10));
    assert_eq!(stage.view().targets[0].drained, None, "it drains");
    stage.pass(secs(45));
    assert_eq!(stage.view().targets[0].drained, Some(DrainEnd::Deadline));
}

#[test]
fn the_last_hook_before_the_application_stops_waits_where_it_will_be_done_and_no_other() {
    for (on_notice, event, waits) in [
        (OnNotice::Finish, E::BeforeInstall, true),
        (OnNotice::Finish, E::AfterInstall, false),
        (OnNotice::Refuse, E::BeforeInstall, false),
    ] {
        let settings = Settings { owner: Some(Owner::Pitcrew), on_notice, ..Settings::default() };
        let mut stage = Stage::with(settings).group("web", &[8080]).running();
        stage.connections.insert(8080, Some(1));
        stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
        let call = stage.hook("d-1", event);
        stage.pass(secs(1));
        assert_eq!(stage.answer(call).is_none(), waits, "{on_notice:?} {event}");
    }
}

#[test]
fn a_hook_that_is_stopped_on_a_leaving_instance_is_told_that_it_leaves() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.connections.insert(8080, Some(1));
    stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
    let call = stage.hook("d-1", E::BeforeInstall);
    stage.pass(secs(1));
    stage.abandon(call);
    assert_says(&stage.answer(call).unwrap().sentence, "BeforeInstall was stopped: the instance is leaving");
}

#[test]
fn what_machines_and_people_read_has_one_word_each() {
    for end in [DrainEnd::Idle, DrainEnd::Delay, DrainEnd::Gone, DrainEnd::Deadline] {
        assert_eq!(serde_json::to_value(end).unwrap(), end.word());
    }
    let step = [Step::Draining, Step::Scripts, Step::Tags, Step::Release, Step::Done].map(Step::word);
    assert_eq!(step, ["draining", "running drain.d", "removing tags", "releasing", "done"]);
    // Elastigroup's own.
    assert_eq!(
        [Signal::Ready, Signal::ReadyToShutdown].map(Signal::word),
        ["INSTANCE_READY", "INSTANCE_READY_TO_SHUTDOWN"]
    );
    let processes = Process::ALL.map(Process::word);
    assert_eq!(Process::ALL.map(|process| process.to_string()), processes);
    for process in ["AUTO_HEALING", "OUT_OF_STRATEGY", "PREVENTIVE_REPLACEMENT", "REVERT_PREFERRED"] {
        assert_eq!(processes.iter().filter(|known| **known == process).count(), 1, "{processes:?}");
    }
}

#[test]
fn a_group_that_others_took_this_instance_out_of_is_not_said_to_be_left_empty_by_this_agent() {
    let mut stage = Stage::new().group("web", &[8080]).peers(0, 0).group("admin", &[9000]).running();
    stage.drain_away("web", 8080);
    let answer = stage.run("d-1", E::BeforeInstall);
    assert_done(&answer);
    assert!(!answer.sentence.contains("no other target"), "{}", answer.sentence);
}

#[test]
fn a_probe_that_decides_makes_the_instance_unready() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.app_is_well = false;
    stage.pass(secs(60));
    let view = stage.view();
    assert!(!view.probes[0].advisory && !view.readiness.ready);
    assert!(view.readiness.reasons.iter().any(|reason| reason.code == Code::Unhealthy && reason.blocks));
}

#[test]
fn whoever_waits_is_told_how_many_groups_are_out() {
    let mut stage = Stage::new().group("admin", &[9000]).group("web", &[8080]).running();
    stage.connections.insert(8080, Some(1));
    let call = stage.hook("d-1", E::BeforeInstall);
    stage.pass(secs(20));
    let said = stage.said(call).last().unwrap();
    assert_says(said, "1 of 2 target groups out; web: draining port 8080");
    assert!(!said.contains('-'), "{said}");
}

#[test]
fn an_instance_that_is_in_need_not_wait_for_its_application_to_be_said_in() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.app_is_well = false;
    stage.pass(secs(30));
    let call = stage.back_in();
    let (took, answer) = stage.wait(call);
    assert_done(&answer);
    assert!(took < secs(5), "after {took:?}: {}", answer.sentence);
}

#[test]
fn an_answer_about_a_deployment_that_has_called_since_is_not_believed() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.silent = true;
    stage.deployments.insert("d-1".into(), DeploymentState::Failed);
    stage.pass(secs(900));
    assert!(stage.actions.iter().any(|(_, action)| matches!(action, Action::LearnDeployment { .. })));
    assert_done(&stage.run("d-1", E::AfterInstall));
    stage.pass(secs(1));
    stage.speak_up();
    stage.pass(secs(10));
    assert!(stage.memory().leases.contains_key(&"d-1".into()), "it lives: its hook has just called");
    assert!(stage.ports_in("web").is_empty());
}

#[test]
fn an_application_that_falls_ill_while_it_returns_is_named_and_not_the_balancer() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    assert_done(&stage.run("d-1", E::BeforeInstall));
    let call = stage.hook("d-1", E::ValidateService);
    while stage.registered() == 0 {
        stage.pass(secs(1));
    }
    assert!(!stage.view().targets[0].taken_out, "it has been given back");
    stage.app_is_well = false;
    stage.pass(secs(15));
    assert_says(stage.said(call).last().unwrap(), "waiting for the application: probe `app`");
}

#[test]
fn of_everything_that_is_to_be_said_about_readiness_what_blocks_comes_first() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.app_is_well = false;
    stage.pass(secs(60));
    stage.step(Event::SightLost { why: "IMDS did not answer".into() });
    stage.notice(NoticeKind::Rebalance, None);
    stage.out(None);
    let reasons = stage.view().readiness.reasons;
    let blocks: Vec<bool> = reasons.iter().map(|reason| reason.blocks).collect();
    assert!(blocks.contains(&true) && blocks.contains(&false), "{reasons:?}");
    assert!(blocks.is_sorted_by(|one, next| one >= next), "{reasons:?}");
}

#[test]
fn a_last_word_that_is_refused_holds_up_nothing() {
    for (api, kind) in [(Api::RemoveTags, FailureKind::Denied), (Api::Release, FailureKind::NotFound)] {
        let settings = Settings { owner: Some(Owner::Pitcrew), remove_tags: true, ..Settings::default() };
        let mut stage = Stage::with(settings).group("web", &[8080]).running();
        stage.fail(api, u32::MAX, kind);
        stage.notice(NoticeKind::AutoScaling, Some(secs(600)));
        stage.pass(secs(30));
        assert_eq!(stage.memory().leaving.as_ref().unwrap().stage, Step::Done, "{api:?}");
    }
}

#[test]
fn whoever_waits_for_the_instance_is_told_that_it_may_go_also_where_another_notice_came_first() {
    let (spot, group) = (NoticeKind::SpotTerminate, NoticeKind::AutoScaling);
    for (notices, told) in [(vec![spot], spot), (vec![spot, group], group), (vec![group, spot], group)] {
        let mut stage = Stage::new().group("web", &[8080]).running();
        for notice in &notices {
            stage.notice(*notice, Some(secs(120)));
        }
        stage.pass(secs(60));
        let released = stage.actions.iter().filter(|(_, action)| *action == Action::Release { why: told }).count();
        assert_eq!(released, 1, "{notices:?}");
    }
}
