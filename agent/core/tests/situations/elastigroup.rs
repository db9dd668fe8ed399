//! An instance of an Elastigroup: protected while a deployment runs, ready after it, and gone when it is detached.

use std::collections::BTreeSet;
use std::time::Duration;

use pitcrew_core::elastigroup::{Declared, Life, Order, Process, ReadyAfter, Settings as Elastigroup, Signal};
use pitcrew_core::leaving::Stage as Step;
use pitcrew_core::lifecycle::LifecycleEvent as E;
use pitcrew_core::notice::NoticeKind;
use pitcrew_core::settings::Settings;
use pitcrew_core::wire::{Action, Event, FailureKind, Owner, Verdict};

use crate::stage::{Api, Stage, assert_done, assert_says, secs};

fn settings(owner: Owner) -> Settings {
    Settings { owner: Some(owner), elastigroup: Some(Elastigroup::default()), ..Settings::default() }
}

fn stage(owner: Owner) -> Stage {
    Stage::with(settings(owner)).group("web", &[8080]).running()
}

fn declares_ready() -> Declared {
    Declared { ready_timeout: Some(secs(600)), ..Declared::default() }
}

fn signals(stage: &Stage, signal: Signal) -> usize {
    stage.orders().iter().filter(|order| **order == Order::Signal(signal)).count()
}

#[test]
fn the_lock_is_taken_with_the_deployment_and_given_back_after_it() {
    let mut stage = stage(Owner::Pitcrew);
    assert_done(&stage.run("d-1", E::BeforeInstall));
    assert_eq!(stage.orders(), [Order::Lock { minutes: 80 }]);
    assert!(stage.view().elastigroup.unwrap().locked_until.is_some());
    assert_done(&stage.run("d-1", E::ValidateService));
    stage.pass(secs(10));
    assert_eq!(stage.orders(), [Order::Lock { minutes: 80 }, Order::Unlock]);
    assert_eq!(stage.memory().elastigroup.lock, None);
}

#[test]
fn a_long_deployment_is_locked_again_before_the_lock_ends() {
    let mut stage = stage(Owner::Pitcrew);
    for _ in 0..12 {
        assert_done(&stage.run("d-1", E::BeforeInstall));
        stage.pass(secs(600));
        let until = stage.memory().elastigroup.lock.unwrap().until;
        assert!(until.remaining(stage.now().at) >= secs(3600), "ends with the longest lease");
    }
    let locks = stage.orders().len();
    assert!((6..=14).contains(&locks), "{locks} locks in two hours");
}

#[test]
fn several_deployments_share_one_lock_until_the_last_ends() {
    let mut stage = stage(Owner::Pitcrew);
    assert_done(&stage.run("d-1", E::BeforeInstall));
    assert_done(&stage.run("d-2", E::BeforeInstall));
    assert_done(&stage.run("d-1", E::ValidateService));
    stage.pass(secs(10));
    assert!(!stage.orders().contains(&Order::Unlock));
    assert_done(&stage.run("d-2", E::ValidateService));
    stage.pass(secs(10));
    assert_eq!(stage.orders().iter().filter(|order| **order == Order::Unlock).count(), 1);
}

#[test]
fn an_agent_that_was_killed_gives_the_lock_back_when_it_is_up_again() {
    let mut stage = stage(Owner::Pitcrew);
    stage.hook("d-1", E::BeforeInstall);
    stage.restart();
    assert_done(&stage.run("d-1", E::BeforeInstall));
    assert_done(&stage.run("d-1", E::ValidateService));
    stage.pass(secs(10));
    assert_eq!(stage.memory().elastigroup.lock, None);
    assert_eq!(stage.orders().last(), Some(&Order::Unlock));
}

#[test]
fn processes_are_suspended_and_resumed_with_the_lock_where_the_settings_say_so() {
    let suspend = BTreeSet::from([Process::AutoHealing, Process::PreventiveReplacement]);
    let elastigroup = Elastigroup { suspend: suspend.clone(), ..Elastigroup::default() };
    let settings = Settings { elastigroup: Some(elastigroup), ..settings(Owner::Pitcrew) };
    let mut stage = Stage::with(settings).group("web", &[8080]).running();
    stage.hook("d-1", E::BeforeInstall);
    assert_eq!(stage.orders(), [Order::Lock { minutes: 80 }], "by the lock others see that the suspensions are needed");
    assert_done(&stage.run("d-1", E::BeforeInstall));
    let processes: Vec<_> = suspend.into_iter().collect();
    assert!(stage.orders().contains(&Order::Suspend { processes: processes.clone(), minutes: 80 }));
    assert_done(&stage.run("d-1", E::ValidateService));
    stage.pass(secs(10));
    let resumed = |order: &Order| matches!(order, Order::Resume { processes: all, .. } if *all == processes);
    assert!(stage.orders().iter().any(resumed));
    assert_eq!(stage.memory().elastigroup.suspensions, None);
}

#[test]
fn an_elastigroup_that_answers_nothing_good_stops_no_deployment() {
    for kind in [FailureKind::Throttled, FailureKind::Unavailable, FailureKind::Denied, FailureKind::Invalid] {
        for owner in [Owner::Pitcrew, Owner::Elastigroup] {
            let mut stage = stage(owner);
            stage.fail(Api::Elastigroup, u32::MAX, kind);
            assert_done(&stage.run("d-1", E::BeforeInstall));
            assert!(stage.ports_in("web").is_empty(), "{kind:?} {owner:?}");
            assert_done(&stage.run("d-1", E::ValidateService));
            assert_eq!(stage.ports_in("web"), [8080], "{kind:?} {owner:?}");
            stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
            stage.pass(secs(60));
            assert_eq!(stage.memory().leaving.as_ref().unwrap().stage, Step::Done);
        }
    }
}

#[test]
fn without_a_token_nothing_is_said() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    assert_done(&stage.run("d-1", E::BeforeInstall));
    assert_done(&stage.run("d-1", E::ValidateService));
    stage.pass(secs(3600));
    assert!(stage.orders().is_empty() && stage.view().elastigroup.is_none());
}

#[test]
fn a_new_instance_that_waits_to_be_registered_is_not_said_to_be_in_traffic() {
    let mut stage = Stage::with(settings(Owner::Pitcrew)).running();
    assert_done(&stage.run("d-1", E::BeforeInstall));
    let answer = stage.run("d-1", E::ValidateService);
    assert_done(&answer);
    assert_says(&answer.sentence, "in no target group yet");
}

#[test]
fn ready_is_said_once_after_the_first_deployment_that_ends_well() {
    let mut stage = stage(Owner::Pitcrew);
    stage.declared = declares_ready();
    stage.pass(secs(60));
    let call = stage.hook("d-1", E::BeforeInstall);
    stage.pass(secs(1));
    stage.abandon(call);
    assert_done(&stage.run("d-2", E::BeforeInstall));
    stage.app_is_well = false;
    let call = stage.hook("d-2", E::ValidateService);
    stage.pass(secs(20));
    stage.abandon(call);
    stage.app_is_well = true;
    stage.pass(secs(60));
    assert_eq!(signals(&stage, Signal::Ready), 0, "no deployment has ended well");
    assert_done(&stage.run("d-3", E::BeforeInstall));
    assert_done(&stage.run("d-3", E::ValidateService));
    stage.pass(secs(10));
    assert_eq!(signals(&stage, Signal::Ready), 1);
    stage.restart();
    assert_done(&stage.run("d-4", E::BeforeInstall));
    assert_done(&stage.run("d-4", E::ValidateService));
    stage.pass(secs(600));
    assert_eq!(signals(&stage, Signal::Ready), 1);
}

#[test]
fn ready_comes_when_the_settings_say_and_only_where_it_is_declared() {
    let table = [
        (ReadyAfter::Boot, false, true, true),
        (ReadyAfter::Health, true, true, true),
        (ReadyAfter::Health, false, true, false),
        (ReadyAfter::Health, true, false, false),
        (ReadyAfter::Deployment, true, true, false),
        (ReadyAfter::Never, true, true, false),
    ];
    for (ready, is_well, declared, expected) in table {
        let elastigroup = Elastigroup { ready, ..Elastigroup::default() };
        let settings = Settings { elastigroup: Some(elastigroup), ..settings(Owner::Pitcrew) };
        let mut stage = Stage::with(settings).group("web", &[8080]);
        stage.app_is_well = is_well;
        stage.declared = if declared { declares_ready() } else { Declared::default() };
        let stage = stage.running();
        assert_eq!(signals(&stage, Signal::Ready) == 1, expected, "{ready:?} {is_well} {declared}");
    }
}

#[test]
fn a_detach_is_heard_drained_and_answered_once() {
    let mut stage = stage(Owner::Pitcrew);
    stage.declared = Declared { shutdown_timeout: Some(secs(600)), ..Declared::default() };
    stage.life = Life::Terminating;
    stage.drain_away("web", 8080);
    stage.pass(secs(66));
    assert_eq!(stage.view().notices[0].kind, NoticeKind::Elastigroup, "a drain by others makes it look soon");
    assert!(stage.view().leaving_in_ms.unwrap() > 400_000, "the group's own timeout is the budget");
    stage.pass(secs(60));
    assert_eq!(stage.memory().leaving.as_ref().unwrap().stage, Step::Done);
    assert_eq!(stage.orders(), [Order::Signal(Signal::ReadyToShutdown)]);
    assert_eq!(stage.registered(), 0);
    stage.restart();
    stage.pass(secs(300));
    assert_eq!(stage.orders().len(), 1);
}

#[test]
fn instances_that_start_together_do_not_ask_together() {
    let mut stage = Stage::with(settings(Owner::Pitcrew)).group("web", &[8080]);
    stage.step(Event::Started);
    let looks = |stage: &Stage| {
        stage.actions.iter().filter(|(_, action)| matches!(action, Action::Elastigroup(Order::Look))).count()
    };
    stage.pass(secs(1));
    assert_eq!(looks(&stage), 0, "the first look comes anywhere in the first five minutes");
    stage.pass(secs(299));
    assert_eq!(looks(&stage), 1);
}

#[test]
fn a_detach_is_reckoned_from_when_the_instance_was_last_seen_active() {
    let mut stage = stage(Owner::Pitcrew);
    stage.declared = Declared { shutdown_timeout: Some(secs(600)), ..Declared::default() };
    stage.pass(secs(900));
    stage.life = Life::Terminating;
    let looked = |stage: &Stage| {
        let looks = stage.actions.iter().filter(|(_, action)| matches!(action, Action::Elastigroup(Order::Look)));
        looks.map(|(at, _)| *at).next_back().unwrap()
    };
    let last_active = looked(&stage);
    while stage.view().notices.is_empty() {
        stage.pass(secs(1));
    }
    let detached_after = stage.now().at.0 - last_active;
    assert!(detached_after > 30_000, "{detached_after} ms");
    assert!(stage.view().leaving_in_ms.unwrap() <= 600_000 - detached_after);
}

#[test]
fn a_detach_that_the_instances_own_tag_tells_is_the_same_notice() {
    let mut stage = stage(Owner::Pitcrew);
    stage.declared = Declared { shutdown_timeout: Some(secs(600)), ..Declared::default() };
    stage.notice(NoticeKind::Elastigroup, None);
    stage.life = Life::Terminating;
    stage.notice(NoticeKind::Elastigroup, None);
    stage.pass(secs(2));
    assert_eq!(stage.view().notices.len(), 1);
    assert!(stage.view().leaving_in_ms.unwrap() > 400_000, "the group's own timeout is the budget");
    stage.pass(secs(60));
    assert_eq!(stage.orders(), [Order::Signal(Signal::ReadyToShutdown)]);
}

#[test]
fn a_group_that_does_not_declare_the_shutdown_signal_is_told_nothing() {
    let mut stage = stage(Owner::Pitcrew);
    stage.declared = Declared { draining_timeout: Some(secs(300)), ..Declared::default() };
    stage.life = Life::Terminating;
    stage.pass(secs(700));
    assert_eq!(stage.memory().leaving.as_ref().unwrap().stage, Step::Done);
    assert!(stage.orders().is_empty(), "{:?}", stage.orders());
}

#[test]
fn standby_takes_the_instance_out_and_back() {
    let mut stage = stage(Owner::Elastigroup);
    assert_done(&stage.run("d-1", E::BeforeInstall));
    assert!(stage.ports_in("web").is_empty());
    assert!(stage.view().elastigroup.unwrap().standby_since.is_some());
    assert_done(&stage.run("d-1", E::ValidateService));
    assert_eq!(stage.ports_in("web"), [8080]);
    stage.pass(secs(60));
    let standby = |order: &Order| matches!(order, Order::EnterStandby | Order::ExitStandby);
    let orders: Vec<_> = stage.orders().into_iter().filter(standby).collect();
    assert_eq!(orders, [Order::EnterStandby, Order::ExitStandby]);
    assert_eq!(stage.registered(), 0, "Elastigroup moves traffic, not the agent");
    assert_eq!(stage.memory().elastigroup.standby, None);
}

#[test]
fn standby_is_left_once_more_where_a_lost_call_for_it_may_have_come_late() {
    for restarts in [false, true] {
        let mut stage = stage(Owner::Elastigroup);
        stage.fail(Api::Elastigroup, 2, FailureKind::Unavailable);
        assert_done(&stage.run("d-1", E::BeforeInstall));
        assert_done(&stage.run("d-1", E::ValidateService));
        let left = |stage: &Stage| stage.orders().iter().filter(|order| **order == Order::ExitStandby).count();
        assert_eq!(left(&stage), 1);
        if restarts {
            stage.restart();
        }
        stage.pass(secs(40));
        assert_eq!((left(&stage), stage.memory().elastigroup.standby), (if restarts { 3 } else { 2 }, None));
        assert_eq!(stage.ports_in("web"), [8080]);
    }
}

#[test]
fn standby_is_asked_for_again_by_a_deployment_that_follows_before_a_lost_call_has_settled() {
    let mut stage = stage(Owner::Elastigroup);
    stage.fail(Api::Elastigroup, 2, FailureKind::Unavailable);
    assert_done(&stage.run("d-1", E::BeforeInstall));
    assert_done(&stage.run("d-1", E::ValidateService));
    let call = stage.hook("d-2", E::BeforeInstall);
    let (waited, answer) = stage.wait(call);
    assert_done(&answer);
    assert!(waited < secs(15), "{waited:?}");
    let asked = stage.orders().iter().filter(|order| **order == Order::EnterStandby).count();
    assert_eq!((asked, stage.deregistered()), (3, 0), "Elastigroup moves traffic");
    stage.pass(secs(60));
    assert!(stage.ports_in("web").is_empty(), "the deployment keeps it out");
}

#[test]
fn standby_is_left_although_the_agent_died_over_it_and_was_refused_it_afterwards() {
    let mut stage = stage(Owner::Elastigroup);
    stage.hook("d-1", E::BeforeInstall);
    while !stage.orders().contains(&Order::EnterStandby) {
        stage.pass(Duration::from_millis(10));
    }
    stage.restart();
    stage.fail(Api::Elastigroup, 2, FailureKind::Denied);
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.mend(Api::Elastigroup);
    assert_done(&stage.run("d-1", E::ValidateService));
    stage.pass(secs(120));
    assert!(stage.orders().contains(&Order::ExitStandby), "{:?}", stage.orders());
    assert_eq!((stage.memory().elastigroup.standby, stage.ports_in("web")), (None, vec![8080]));
}

#[test]
fn a_drain_by_standby_counts_anew_although_the_looks_still_show_the_one_before() {
    let mut stage = stage(Owner::Elastigroup);
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.pass(secs(20));
    stage.looks_fall_behind();
    let call = stage.hook("d-1", E::ValidateService);
    stage.pass(secs(5));
    stage.abandon(call);
    assert_eq!(stage.ports_in("web"), [8080], "Elastigroup has put it back, unseen");
    let call = stage.hook("d-2", E::BeforeInstall);
    let (waited, answer) = stage.wait(call);
    assert_done(&answer);
    assert!(waited > Settings::default().settle && stage.ports_in("web").is_empty(), "{waited:?}");
}

#[test]
fn a_deployment_that_fails_ends_standby() {
    let mut stage = stage(Owner::Elastigroup);
    assert_done(&stage.run("d-1", E::BeforeInstall));
    let call = stage.hook("d-1", E::ValidateService);
    stage.abandon(call);
    stage.pass(secs(30));
    assert_eq!(stage.ports_in("web"), [8080]);
    assert_eq!(stage.memory().elastigroup.standby, None);
}

#[test]
fn an_application_that_stays_dead_does_not_stay_in_standby() {
    let mut stage = stage(Owner::Elastigroup);
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.app_is_well = false;
    let call = stage.hook("d-1", E::ValidateService);
    stage.pass(secs(20));
    stage.abandon(call);
    stage.pass(secs(30));
    assert!(stage.memory().elastigroup.standby.is_some(), "it has a while to get well");
    stage.pass(secs(60));
    assert_eq!(stage.memory().elastigroup.standby, None, "Elastigroup shall see it, and heal it");
}

#[test]
fn an_agent_that_dies_in_standby_ends_it_when_it_is_up_again() {
    let mut stage = stage(Owner::Elastigroup);
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.restart();
    let call = stage.hook("d-1", E::ValidateService);
    stage.abandon(call);
    stage.pass(secs(30));
    assert_eq!(stage.ports_in("web"), [8080]);
    assert_eq!(stage.memory().elastigroup.standby, None);
}

#[test]
fn an_instance_that_leaves_does_not_leave_standby() {
    let mut stage = stage(Owner::Elastigroup);
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
    stage.pass(secs(200));
    assert!(!stage.orders().contains(&Order::ExitStandby), "that would register it");
    assert!(stage.ports_in("web").is_empty());
}

#[test]
fn codedeploy_with_a_load_balancer_of_its_own_refuses_standby() {
    let mut stage = stage(Owner::Elastigroup);
    assert_done(&stage.run("d-1", E::BeforeInstall));
    let answer = stage.run("d-1", E::BeforeAllowTraffic);
    assert_eq!(answer.verdict, Verdict::Misconfigured);
    assert_says(&answer.sentence, "two owners would undo each other");
}
