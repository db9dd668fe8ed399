//! How often is asked, and how soon again: enough to be quick, and no more than a fleet may.

use pitcrew_core::elastigroup::{Life, Order, Settings as Elastigroup};
use pitcrew_core::lifecycle::LifecycleEvent as E;
use pitcrew_core::notice::NoticeKind;
use pitcrew_core::settings::{OnAdvice, Settings};
use pitcrew_core::wire::{Action, FailureKind, Owner};

use crate::stage::{Api, Stage, assert_done, secs};

fn in_elastigroup(owner: Owner) -> Stage {
    let settings = Settings { owner: Some(owner), elastigroup: Some(Elastigroup::default()), ..Settings::default() };
    Stage::with(settings).group("web", &[8080]).running()
}

fn count(stage: &Stage, is: fn(&Order) -> bool) -> usize {
    let of_group = |action: &Action| matches!(action, Action::Elastigroup(order) if is(order));
    stage.actions.iter().filter(|(_, action)| of_group(action)).count()
}

#[test]
fn in_a_large_group_each_looks_less_often_unless_a_foreign_drain_must_be_seen() {
    let looks = |peers: usize, on_foreign_drain: OnAdvice| {
        let settings = Settings { owner: Some(Owner::Pitcrew), on_foreign_drain, ..Settings::default() };
        let mut stage = Stage::with(settings).group("web", &[8080]).peers(peers, peers).running();
        stage.pass(secs(600));
        let before = stage.observed();
        stage.pass(secs(7_200));
        stage.observed() - before
    };
    assert!((100..=240).contains(&looks(1, OnAdvice::Mark)), "every minute: {}", looks(1, OnAdvice::Mark));
    assert!((8..=17).contains(&looks(900, OnAdvice::Mark)), "every quarter of an hour: {}", looks(900, OnAdvice::Mark));
    assert!((100..=240).contains(&looks(900, OnAdvice::Drain)), "every minute: {}", looks(900, OnAdvice::Drain));
}

#[test]
fn while_it_drains_the_group_is_looked_at_every_few_seconds() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    assert_done(&stage.run("d-1", E::BeforeInstall));
    let before = stage.observed();
    stage.pass(secs(60));
    let looks = stage.observed() - before;
    assert!((10..=30).contains(&looks), "{looks} looks in a minute of draining");
}

#[test]
fn a_change_that_shows_late_is_not_made_over_and_over() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.looks_fall_behind();
    stage.out(None);
    stage.pass(secs(9));
    assert!((1..=5).contains(&stage.deregistered()), "{} calls in nine seconds", stage.deregistered());
}

#[test]
fn a_return_is_looked_for_soon_at_first_and_more_rarely_later() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.pass(secs(2));
    stage.app_is_well = true;
    let before = stage.observed();
    let hook = stage.hook("d-1", E::ValidateService);
    let (took, answer) = stage.wait(hook);
    assert_done(&answer);
    let looks = stage.observed() - before;
    assert!(looks as f64 >= took.as_secs_f64(), "{looks} looks in {took:?}");
}

#[test]
fn standby_that_is_refused_is_not_remembered_and_one_bad_moment_does_not_give_it_up() {
    let mut refused = in_elastigroup(Owner::Elastigroup);
    refused.fail(Api::Elastigroup, u32::MAX, FailureKind::Denied);
    assert_done(&refused.run("d-1", E::BeforeInstall));
    assert_eq!(refused.memory().elastigroup.standby, None);
    assert_eq!(refused.deregistered(), 1, "the agent moves traffic itself");

    let mut throttled = in_elastigroup(Owner::Elastigroup);
    throttled.fail(Api::Elastigroup, 2, FailureKind::Throttled);
    assert_done(&throttled.run("d-1", E::BeforeInstall));
    assert!(throttled.memory().elastigroup.standby.is_some());
    assert_eq!(throttled.deregistered(), 0, "standby is entered a moment later");
}

#[test]
fn whoever_is_put_back_in_spite_of_standby_is_taken_out_by_the_agent_itself() {
    let mut stage = in_elastigroup(Owner::Elastigroup);
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.put_back("web", 8080);
    stage.pass(secs(20));
    assert_eq!(stage.deregistered(), 0, "what standby does may show late");
    stage.pass(secs(100));
    assert!(stage.deregistered() >= 1 && stage.ports_in("web").is_empty());
}

#[test]
fn an_elastigroup_that_does_not_answer_is_asked_ever_more_rarely() {
    let mut stage = in_elastigroup(Owner::Pitcrew);
    stage.fail(Api::Elastigroup, u32::MAX, FailureKind::Unavailable);
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.pass(secs(3_600));
    let locks = count(&stage, |order| matches!(order, Order::Lock { .. }));
    assert!((5..=25).contains(&locks), "{locks} tries in an hour");
}

#[test]
fn a_group_that_may_not_be_read_is_asked_once() {
    let mut stage = in_elastigroup(Owner::Pitcrew);
    stage.life = Life::Terminating;
    stage.pass(secs(600));
    assert!(stage.memory().leaving.is_some());
    assert_eq!(count(&stage, |order| *order == Order::ReadGroup), 1);

    let mut refused = in_elastigroup(Owner::Pitcrew);
    refused.notice(NoticeKind::Elastigroup, Some(secs(600)));
    refused.fail(Api::Elastigroup, u32::MAX, FailureKind::Denied);
    // It has not left before its scripts have run.
    refused.fail(Api::DrainScripts, u32::MAX, FailureKind::Unavailable);
    refused.pass(secs(200));
    assert_eq!(count(&refused, |order| *order == Order::ReadGroup), 1);
}

#[test]
fn what_this_agent_moves_itself_makes_it_suspect_nobody() {
    let looks = |stage: &Stage| count(stage, |order| *order == Order::Look);
    let mut calm = in_elastigroup(Owner::Pitcrew);
    calm.pass(secs(1_200));
    let mut moved = in_elastigroup(Owner::Pitcrew);
    moved.out(None);
    moved.pass(secs(600));
    moved.back_in();
    moved.pass(secs(600));
    assert!(looks(&moved) <= looks(&calm) + 1, "{} looks, and {} where nothing moves", looks(&moved), looks(&calm));

    let mut taken = in_elastigroup(Owner::Pitcrew);
    taken.pass(secs(600));
    let before = looks(&taken);
    taken.take_away("web", 8080);
    taken.pass(secs(120));
    assert!(looks(&taken) - before >= 5, "{} looks after others took it out", looks(&taken) - before);
}

#[test]
fn what_codedeploy_moves_makes_the_agent_suspect_nobody() {
    let mut stage = in_elastigroup(Owner::CodeDeploy);
    stage.pass(secs(600));
    assert_done(&stage.run("d-1", E::BeforeBlockTraffic));
    let before = count(&stage, |order| *order == Order::Look);
    stage.take_away("web", 8080);
    assert_done(&stage.run("d-1", E::AfterBlockTraffic));
    stage.pass(secs(60));
    let looks = count(&stage, |order| *order == Order::Look) - before;
    assert!(looks <= 1, "{looks} looks in a minute");
}

#[test]
fn who_takes_an_instance_out_that_is_held_out_anyway_is_not_suspected_afterwards() {
    let mut stage = in_elastigroup(Owner::Pitcrew);
    stage.fail(Api::Deregister, u32::MAX, FailureKind::Denied);
    stage.pass(secs(600));
    stage.out(None);
    stage.pass(secs(70));
    stage.take_away("web", 8080);
    stage.pass(secs(70));
    stage.back_in();
    let before = count(&stage, |order| *order == Order::Look);
    stage.pass(secs(90));
    let looks = count(&stage, |order| *order == Order::Look) - before;
    assert!(looks <= 1, "{looks} looks in a minute and a half");
}
