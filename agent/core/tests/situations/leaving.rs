//! An instance that is taken away, and what its deployments hear of it.

use std::time::Duration;

use pitcrew_core::leaving::Stage as Step;
use pitcrew_core::lifecycle::LifecycleEvent as E;
use pitcrew_core::notice::NoticeKind;
use pitcrew_core::settings::{OnAdvice, OnNotice, Settings};
use pitcrew_core::view::State;
use pitcrew_core::wire::{Action, Event, FailureKind, Owner, Verdict};

use crate::stage::{Api, Stage, assert_done, assert_says, secs};

/// CodeDeploy is about to take this instance out for a deployment of its own; `delay`: of deregistration.
fn about_to_be_blocked(delay: Duration) -> Stage {
    let settings = Settings { owner: Some(Owner::CodeDeploy), ..Settings::default() };
    let mut stage = Stage::with(settings).group("web", &[8080]).delay(delay).running();
    assert_done(&stage.run("d-1", E::BeforeBlockTraffic));
    stage
}

fn settings() -> Settings {
    Settings { owner: Some(Owner::Pitcrew), ..Settings::default() }
}

#[test]
fn a_notice_takes_the_instance_out_and_goes_through_every_step() {
    let mut stage = Stage::with(Settings { remove_tags: true, ..settings() }).group("web", &[8080]).running();
    stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
    assert_says(&stage.sentence(), "leaving (spot-terminate, 120 s left):");
    stage.pass(secs(1));
    assert!(stage.ports_in("web").is_empty());
    stage.pass(secs(10));
    assert_eq!(stage.memory().leaving.as_ref().unwrap().stage, Step::Done);
    assert_eq!(stage.announced, ["leaving: spot-terminate", "left after 7.3 s"]);
    assert_says(&stage.sentence(), "left (spot-terminate): out of traffic");
    stage.pass(secs(600));
    assert_eq!(stage.registered(), 0);
}

#[test]
fn a_notice_seen_twice_is_one_notice() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    let notice = stage.notice(NoticeKind::SpotStop, Some(secs(120)));
    stage.step(Event::NoticeSeen { notice });
    assert_eq!(stage.view().notices.len(), 1);
    stage.notice(NoticeKind::AutoScaling, Some(secs(30)));
    assert_eq!(stage.view().leaving_in_ms, Some(30_000), "the earliest end counts");
    stage.pass(secs(60));
    assert_eq!(stage.announced.len(), 2);
}

#[test]
fn a_leaving_instance_takes_even_the_last_healthy_target_out() {
    let mut stage = Stage::new().group("web", &[8080]).peers(2, 0).running();
    stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
    stage.pass(secs(1));
    assert!(stage.ports_in("web").is_empty());
}

#[test]
fn a_group_that_waits_for_the_instance_waits_while_codedeploy_may_put_it_back() {
    let released =
        |stage: &Stage| stage.actions.iter().filter(|(_, action)| matches!(action, Action::Release { .. })).count();
    for allows in [true, false] {
        let mut stage = about_to_be_blocked(secs(10));
        stage.take_away("web", 8080);
        assert_done(&stage.run("d-1", E::AfterInstall));
        stage.notice(NoticeKind::AutoScaling, Some(secs(74)));
        stage.pass(secs(5));
        assert_done(&stage.run("d-1", E::ValidateService));
        stage.pass(secs(5));
        assert_eq!(released(&stage), 0, "AllowTraffic is to come");
        if allows {
            stage.put_back("web", 8080);
            stage.pass(secs(5));
            assert!(stage.ports_in("web").is_empty(), "taken out again");
            stage.hook("d-1", E::AfterAllowTraffic);
            stage.pass(secs(3));
            assert_eq!(released(&stage), 0, "what came meanwhile is still answered");
            stage.pass(secs(15));
        } else {
            stage.pass(secs(45));
        }
        assert_eq!(released(&stage), 1, "AllowTraffic came: {allows}");
    }
}

#[test]
fn a_group_that_is_deleted_while_codedeploy_has_blocked_it_is_forgotten() {
    let mut stage = about_to_be_blocked(secs(300));
    stage.take_away("web", 8080);
    stage.fail(Api::Observe, 1000, FailureKind::NotFound);
    stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
    stage.pass(secs(60));
    assert!(stage.memory().leases[&"d-1".into()].places.is_empty(), "nobody can put it back there");
}

#[test]
fn a_leaving_instance_that_codedeploy_took_out_and_puts_back_is_taken_out_at_once() {
    let mut stage = about_to_be_blocked(secs(20));
    stage.drain_away("web", 8080);
    stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
    stage.pass(secs(30));
    // Looked for anew, the group holds this instance no more.
    assert_done(&stage.run("d-1", E::AfterBlockTraffic));
    stage.pass(secs(60));
    stage.put_back("web", 8080);
    stage.pass(Duration::from_millis(1_200));
    assert!(stage.ports_in("web").is_empty());
    assert_eq!(stage.registered(), 0);
}

#[test]
fn a_leaving_instance_that_is_put_back_right_after_it_left_is_taken_out_again_within_a_second_or_two() {
    let mut stage = about_to_be_blocked(secs(20));
    stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
    stage.pass(Duration::from_millis(500));
    assert!(stage.ports_in("web").is_empty());
    stage.put_back("web", 8080);
    stage.pass(Duration::from_millis(1_700));
    assert!(stage.ports_in("web").is_empty());
}

#[test]
fn a_leaving_instance_is_taken_out_again_though_looking_for_its_groups_fails_when_codedeploy_has_put_it_back() {
    for kind in [FailureKind::Denied, FailureKind::Unavailable] {
        let mut stage = about_to_be_blocked(secs(2));
        stage.take_away("web", 8080);
        assert_done(&stage.run("d-1", E::AfterBlockTraffic));
        stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
        stage.pass(secs(1));
        let looked_for =
            |stage: &Stage| stage.actions.iter().filter(|(_, action)| *action == Action::DiscoverGroups).count();
        let before = looked_for(&stage);
        stage.fail(Api::Discover, 1, kind);
        stage.put_back("web", 8080);
        assert_done(&stage.run("d-1", E::AfterAllowTraffic));
        stage.pass(secs(2));
        assert!(stage.ports_in("web").is_empty(), "{kind:?}");
        stage.pass(secs(60));
        assert_eq!(looked_for(&stage) - before, 2, "{kind:?}: again, as failures are");
    }
}

#[test]
fn a_drain_that_does_not_fit_is_cut_short_and_said() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.connections.insert(8080, Some(1));
    stage.notice(NoticeKind::SpotTerminate, Some(secs(40)));
    stage.pass(secs(39));
    assert_says(&stage.announced[1], "but the drain was cut short (0 of 1 target groups out; web: draining port 8080");
}

#[test]
fn a_step_that_fails_for_good_is_skipped_and_said() {
    let table = [
        (Api::DrainScripts, FailureKind::Invalid),
        (Api::RemoveTags, FailureKind::Denied),
        (Api::Release, FailureKind::NotFound),
        (Api::Release, FailureKind::Unavailable),
        (Api::DrainScripts, FailureKind::Unavailable),
        (Api::Deregister, FailureKind::Denied),
    ];
    for (api, kind) in table {
        let mut stage = Stage::with(Settings { remove_tags: true, ..settings() }).group("web", &[8080]).running();
        stage.fail(api, 1000, kind);
        stage.notice(NoticeKind::SpotTerminate, Some(secs(60)));
        stage.pass(secs(61));
        assert_eq!(stage.memory().leaving.as_ref().unwrap().stage, Step::Done, "{api:?}");
        assert_says(stage.announced.last().unwrap(), "but ");
    }
}

#[test]
fn a_step_that_fails_for_a_moment_is_tried_again() {
    for api in [Api::DrainScripts, Api::RemoveTags, Api::Release] {
        let mut stage = Stage::with(Settings { remove_tags: true, ..settings() }).group("web", &[8080]).running();
        stage.fail(api, 2, FailureKind::Unavailable);
        stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
        stage.pass(secs(30));
        assert!(stage.announced[1].starts_with("left after") && !stage.announced[1].contains("but"), "{api:?}");
    }
}

#[test]
fn hibernation_and_shutdown_leave_within_their_own_budgets() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.notice(NoticeKind::SpotHibernate, None);
    assert_eq!(stage.view().leaving_in_ms, Some(10_000));
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.notice(NoticeKind::Scheduled, None);
    assert_eq!(stage.view().leaving_in_ms, Some(120_000));
}

#[test]
fn hooks_of_a_leaving_instance_succeed_at_once_but_for_the_one_before_the_stop() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.connections.insert(8080, Some(1));
    stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
    let stop = stage.hook("d-1", E::ApplicationStop);
    stage.pass(secs(10));
    assert_says(stage.said(stop).last().unwrap(), "leaving: 0 of 1 target groups out; web: draining port 8080");
    stage.connections.insert(8080, Some(0));
    assert_done(&stage.wait(stop).1);
    for event in [E::BeforeInstall, E::AfterInstall, E::ApplicationStart, E::ValidateService] {
        let call = stage.hook("d-1", event);
        let (took, answer) = stage.wait(call);
        assert_eq!((took, answer.sentence.as_str()), (secs(0), "leaving: not returned to traffic"), "{event}");
    }
    assert!(stage.memory().leases.is_empty());
    assert_eq!(stage.registered(), 0);
}

#[test]
fn a_hook_that_waits_is_answered_when_the_notice_comes() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.app_is_well = false;
    let call = stage.hook("d-1", E::ValidateService);
    stage.pass(secs(10));
    stage.notice(NoticeKind::SpotStop, Some(secs(120)));
    assert_says(&stage.answer(call).unwrap().sentence, "leaving: not returned to traffic");
    let cancelled = stage.hook("d-2", E::BeforeInstall);
    stage.abandon(cancelled);
}

#[test]
fn a_leaving_instance_refuses_deployments_where_the_operator_says_so() {
    let settings = Settings { on_notice: OnNotice::Refuse, ..settings() };
    let mut stage = Stage::with(settings).group("web", &[8080]).running();
    stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
    for event in [E::ApplicationStop, E::ValidateService] {
        let answer = stage.run("d-1", event);
        assert_eq!((answer.verdict, answer.verdict.exit_status()), (Verdict::Refused, 77));
    }
    assert!(stage.memory().leases.is_empty());
}

#[test]
fn a_throttled_deregister_call_is_soon_made_again_while_the_instance_leaves() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.fail(Api::Deregister, 6, FailureKind::Throttled);
    let began = stage.now().at;
    stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
    stage.pass(secs(60));
    let calls = stage.actions.iter().filter(|(_, action)| matches!(action, Action::Deregister { .. }));
    let calls: Vec<u64> = calls.map(|(at, _)| *at).collect();
    let longest = calls.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert_eq!(calls.len(), 7);
    assert!(longest <= 1_600, "tried again within a second and a half: {calls:?}");
    assert!(calls[6] - began.0 <= 10_000, "{calls:?}");
}

#[test]
fn a_notice_does_not_wait_for_the_patience_of_a_deployment() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.fail(Api::Deregister, 1000, FailureKind::Throttled);
    stage.hook("d-1", E::BeforeInstall);
    stage.pass(secs(100));
    stage.mend(Api::Deregister);
    stage.notice(NoticeKind::SpotTerminate, Some(secs(20)));
    stage.pass(secs(1));
    assert!(stage.ports_in("web").is_empty());
}

#[test]
fn a_stop_of_the_unit_that_is_over_leaves_the_other_notices_their_time() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.connections.insert(8080, Some(1));
    stage.notice(NoticeKind::Scheduled, Some(secs(300)));
    stage.notice(NoticeKind::Shutdown, Some(secs(30)));
    assert_eq!(stage.view().leaving_in_ms, Some(30_000));
    stage.restart();
    assert_eq!(stage.view().leaving_in_ms, Some(300_000));
    assert_eq!(stage.view().notices.len(), 1);
}

#[test]
fn a_withdrawn_notice_changes_nothing_unless_the_operator_says_so() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    let notice = stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
    stage.pass(secs(20));
    stage.withdraw(notice);
    stage.pass(secs(200));
    assert!(stage.ports_in("web").is_empty());

    let settings = Settings { return_when_withdrawn: true, ..settings() };
    let mut stage = Stage::with(settings).group("web", &[8080]).running();
    let notice = stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
    stage.pass(secs(20));
    stage.withdraw(notice);
    stage.pass(secs(20));
    assert_eq!(stage.ports_in("web"), [8080]);
    assert_eq!(stage.view().state, State::Serving);
}

#[test]
fn a_withdrawn_notice_does_not_return_traffic_into_a_deployment() {
    let settings = Settings { return_when_withdrawn: true, ..settings() };
    let mut stage = Stage::with(settings).group("web", &[8080]).running();
    let notice = stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
    assert_done(&stage.run("d-1", E::ApplicationStop));
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.withdraw(notice);
    stage.pass(secs(20));
    assert!(stage.ports_in("web").is_empty(), "its application is being replaced");
    assert_done(&stage.run("d-1", E::ValidateService));
    assert_eq!(stage.ports_in("web"), [8080]);
}

#[test]
fn a_stop_of_the_unit_is_over_with_its_next_start() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.notice(NoticeKind::Shutdown, Some(secs(90)));
    stage.pass(secs(20));
    assert!(stage.ports_in("web").is_empty());
    stage.restart();
    stage.pass(secs(20));
    assert_eq!(stage.ports_in("web"), [8080]);
}

#[test]
fn a_restart_does_not_forget_that_the_instance_leaves() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
    stage.pass(secs(3));
    stage.restart();
    assert_eq!(stage.view().state, State::Leaving);
    stage.pass(secs(30));
    assert_eq!(stage.announced.len(), 2, "noticed once, left once: {:?}", stage.announced);
    stage.restart();
    stage.pass(secs(30));
    assert_eq!(stage.announced.len(), 2, "left once");
    assert_eq!(stage.registered(), 0);
}

#[test]
fn advice_is_shown_ignored_or_followed() {
    for (on_rebalance, state, shown) in [
        (OnAdvice::Mark, State::Serving, true),
        (OnAdvice::Ignore, State::Serving, false),
        (OnAdvice::Drain, State::Leaving, false),
    ] {
        let mut stage = Stage::with(Settings { on_rebalance, ..settings() }).group("web", &[8080]).running();
        let notice = stage.notice(NoticeKind::Rebalance, Some(secs(0)));
        stage.pass(secs(5));
        assert_eq!((stage.view().state, stage.view().at_risk.is_some()), (state, shown), "{on_rebalance:?}");
        stage.withdraw(notice);
        assert!(stage.view().at_risk.is_none());
    }
}

#[test]
fn a_drain_that_nobody_here_asked_for_is_shown_ignored_or_followed() {
    for (on_foreign_drain, state, shown) in [
        (OnAdvice::Mark, State::Serving, true),
        (OnAdvice::Ignore, State::Serving, false),
        (OnAdvice::Drain, State::Leaving, false),
    ] {
        let mut stage =
            Stage::with(Settings { on_foreign_drain, ..settings() }).group("web", &[8080]).group("api", &[80]);
        stage = stage.running();
        stage.drain_away("web", 8080);
        stage.pass(secs(70));
        assert_eq!(stage.view().state, State::Serving, "still registered elsewhere");
        assert!(stage.view().troubles.is_empty());
        stage.drain_away("api", 80);
        stage.pass(secs(70));
        let view = stage.view();
        let said = view.troubles.iter().any(|trouble| trouble.contains("nothing here asked for that"));
        assert_eq!((view.state, said), (state, shown), "{on_foreign_drain:?}");
        assert_eq!(stage.registered(), 0, "never put back by us");
    }
}

#[test]
fn a_script_that_ended_is_remembered_over_a_restart_and_one_that_failed_is_said() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
    while stage.memory().leaving.as_ref().unwrap().stage != Step::Scripts {
        stage.pass(Duration::from_millis(10));
    }
    stage.step(Event::DrainScriptEnded { name: "10-flush".into(), how: Ok("exited 0 after 1 s".into()) });
    stage.step(Event::DrainScriptEnded { name: "20-tell".into(), how: Err("exited 3 after 1 s".into()) });
    stage.restart();
    let asked = stage.actions.iter().rev().find_map(|(_, action)| match action {
        Action::RunDrainScripts { ended, .. } => Some(ended.clone()),
        _ => None,
    });
    assert_eq!(asked.unwrap(), ["10-flush", "20-tell"]);
    stage.pass(secs(10));
    assert_says(stage.announced.last().unwrap(), "but drain.d/20-tell exited 3 after 1 s");
}

#[test]
fn what_was_under_way_when_a_notice_was_withdrawn_does_not_count_for_the_next_one() {
    let settings = Settings { return_when_withdrawn: true, remove_tags: true, ..settings() };
    for step in [Step::Scripts, Step::Tags, Step::Release] {
        let mut stage = Stage::with(settings.clone()).group("web", &[8080]).running();
        let notice = stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
        while stage.memory().leaving.as_ref().unwrap().stage != step {
            stage.pass(Duration::from_millis(10));
        }
        stage.withdraw(notice);
        stage.pass(secs(60));
        let asked = stage.actions.len();
        stage.notice(NoticeKind::SpotStop, Some(secs(120)));
        stage.pass(secs(60));
        let said = |wanted: &Action| {
            let kind = std::mem::discriminant(wanted);
            stage.actions[asked..].iter().filter(|(_, action)| std::mem::discriminant(action) == kind).count()
        };
        assert_eq!(said(&Action::RemoveTags), 1, "{step:?}");
        assert_eq!(said(&Action::Release { why: NoticeKind::SpotStop }), 1, "{step:?}");
        let scripts = Action::RunDrainScripts { why: NoticeKind::SpotStop, until: stage.now().at, ended: Vec::new() };
        assert_eq!(said(&scripts), 1, "{step:?}");
    }
}

#[test]
fn of_two_notices_the_one_that_stands_names_the_end() {
    let settings = Settings { return_when_withdrawn: true, ..settings() };
    let mut stage = Stage::with(settings).group("web", &[8080]).running();
    let sooner = stage.notice(NoticeKind::Scheduled, Some(secs(60)));
    stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
    assert_eq!(stage.view().leaving_in_ms, Some(60_000));
    stage.withdraw(sooner);
    assert_eq!(stage.view().leaving_in_ms, Some(120_000));
}

#[test]
fn scripts_that_cannot_be_run_at_all_are_not_waited_for() {
    let mut stage = Stage::with(settings()).group("web", &[8080]).running();
    stage.fail(Api::DrainScripts, 1000, FailureKind::Invalid);
    stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
    stage.pass(secs(40));
    assert_eq!(stage.memory().leaving.as_ref().unwrap().stage, Step::Done);
}
