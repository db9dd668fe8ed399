//! Calls that fail, answers that are lost, groups that are gone, and others who move the same targets.

use std::time::Duration;

use pitcrew_core::lifecycle::LifecycleEvent as E;
use pitcrew_core::memory::Change;
use pitcrew_core::wire::{Action, FailureKind, Verdict};

use crate::stage::{Api, Stage, Trouble, assert_done, assert_says, secs, target};

#[test]
fn throttling_is_waited_out() {
    for api in [Api::Discover, Api::Observe, Api::Deregister] {
        let mut stage = Stage::new().group("web", &[8080]).running();
        stage.fail(api, 3, FailureKind::Throttled);
        let call = stage.hook("d-1", E::BeforeInstall);
        let (took, answer) = stage.wait(call);
        assert_done(&answer);
        assert!(took <= secs(20), "{api:?}: took {took:?}");
        assert!(stage.said(call).iter().any(|said| said.contains(&format!("({api:?} failed: Throttled)"))), "{api:?}");
        assert!(stage.view().troubles.is_empty());
    }
}

#[test]
fn a_denied_call_fails_the_hook_at_once_and_what_was_taken_is_given_back() {
    for api in [Api::Discover, Api::Observe, Api::Deregister] {
        let mut stage = Stage::new().group("admin", &[9000]).group("web", &[8080]).running();
        stage.fail(api, 1000, FailureKind::Denied);
        let call = stage.hook("d-1", E::BeforeInstall);
        let (took, answer) = stage.wait(call);
        assert!(took <= secs(1), "{api:?}: took {took:?}");
        assert_eq!(answer.verdict, Verdict::Misconfigured);
        assert_says(&answer.sentence, &format!("{api:?} failed: Denied"));
        stage.mend(api);
        stage.pass(secs(120));
        assert_eq!((stage.ports_in("admin"), stage.ports_in("web")), (vec![9000], vec![8080]), "{api:?}");
        assert!(stage.memory().leases.is_empty() && stage.memory().taken_out.is_empty());
    }
}

#[test]
fn what_could_not_be_taken_out_is_not_ours_to_put_back() {
    for kind in [FailureKind::Denied, FailureKind::Invalid, FailureKind::Throttled] {
        let mut stage = Stage::new().group("web", &[8080]).running();
        stage.fail(Api::Deregister, 1000, kind);
        let call = stage.hook("d-1", E::BeforeInstall);
        stage.pass(secs(1));
        assert!(stage.memory().taken_out.is_empty(), "{kind:?}");
        stage.abandon(call);
        stage.take_away("web", 8080);
        stage.pass(secs(120));
        assert_eq!(stage.registered(), 0, "{kind:?}: whoever took it out gives it back");
    }
}

#[test]
fn a_refused_call_does_not_make_forget_one_whose_answer_was_lost() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.trouble(Api::Deregister, 1, Trouble::AnswerLost { answer: secs(1), effect: secs(8) });
    let call = stage.hook("d-1", E::BeforeInstall);
    stage.pass(Duration::from_millis(500));
    stage.fail(Api::Deregister, 1000, FailureKind::Denied);
    assert_eq!(stage.wait(call).1.verdict, Verdict::Misconfigured);
    stage.pass(secs(60));
    assert_eq!(stage.ports_in("web"), [8080], "the lost call took it out after all");
}

#[test]
fn a_denied_return_fails_the_hook_at_once() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.fail(Api::Register, 1000, FailureKind::Denied);
    let call = stage.hook("d-1", E::ValidateService);
    let (took, answer) = stage.wait(call);
    assert!(took <= secs(5), "took {took:?}");
    assert_eq!(answer.verdict, Verdict::Misconfigured);
    assert_says(&stage.sentence(), "returning to traffic: Register failed: Denied");
    stage.mend(Api::Register);
    stage.pass(secs(60));
    assert_eq!(stage.ports_in("web"), [8080], "not forgotten, though the hook has failed");
}

#[test]
fn a_deregister_call_whose_answer_was_lost_is_settled_before_it_is_forgotten() {
    for (answer, effect) in [(secs(2), secs(20)), (secs(40), secs(55))] {
        let mut stage = Stage::new().group("web", &[8080]).running();
        stage.trouble(Api::Deregister, 1, Trouble::AnswerLost { answer, effect });
        let call = stage.hook("d-1", E::BeforeInstall);
        stage.pass(secs(1));
        stage.abandon(call);
        stage.pass(effect - secs(2));
        assert_eq!(stage.ports_in("web"), [8080]);
        assert!(!stage.memory().taken_out.is_empty());
        stage.pass(secs(60));
        assert_eq!(stage.ports_in("web"), [8080], "the late effect was undone");
        assert!(stage.memory().taken_out.is_empty());
    }
}

#[test]
fn a_register_call_whose_answer_was_lost_does_not_put_a_replaced_application_into_traffic_unseen() {
    let mut stage = Stage::new().group("web", &[8080]).delay(secs(3)).running();
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.trouble(Api::Register, 1, Trouble::AnswerLost { answer: secs(1), effect: secs(27) });
    stage.fail(Api::Deregister, 8, FailureKind::Throttled);
    let first = stage.hook("d-1", E::ValidateService);
    stage.pass(secs(2));
    assert_eq!(stage.memory().taken_out[&"web".into()].latest, Change::Registering);
    let second = stage.hook("d-2", E::BeforeInstall);
    assert_done(&stage.wait(first).1);
    assert_done(&stage.wait(second).1);
    assert_eq!(stage.memory().taken_out[&"web".into()].latest, Change::Deregistered, "by the balancer's own word");
    stage.pass(secs(30));
    assert!(stage.ports_in("web").is_empty(), "the late effect was undone");
}

#[test]
fn a_group_that_was_deleted_is_forgotten_after_three_looks() {
    for api in [Api::Observe, Api::Register] {
        let mut stage = Stage::new().group("old", &[9000]).group("web", &[8080]).running();
        assert_done(&stage.run("d-1", E::BeforeInstall));
        if api == Api::Observe {
            stage.groups.remove(&"old".into());
        } else {
            stage.fail(Api::Register, 1000, FailureKind::NotFound);
        }
        let answer = stage.run("d-1", E::ValidateService);
        assert_eq!(answer.verdict, Verdict::Misconfigured, "{api:?}");
        stage.pass(secs(150));
        assert!(!stage.memory().taken_out.contains_key(&"old".into()), "{api:?}");
        let looks = stage.observed();
        stage.pass(secs(30));
        assert!(stage.observed() <= looks + 2, "{api:?}: a group that is gone is not looked at for ever");
    }
}

#[test]
fn ports_are_given_back_exactly_as_they_were() {
    let mut stage = Stage::new().group("admin", &[9000]).group("web", &[8080, 8081]).running();
    assert_done(&stage.run("d-1", E::BeforeInstall));
    assert_done(&stage.run("d-1", E::ValidateService));
    let given: Vec<_> = stage
        .actions
        .iter()
        .filter_map(|(_, action)| match action {
            Action::Register { group, targets } => Some((group.as_str(), targets.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(given, [("admin", vec![target(9000)]), ("web", vec![target(8080), target(8081)])]);
}

#[test]
fn a_target_that_somebody_puts_back_is_taken_out_again_and_counted() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    let call = stage.hook("d-1", E::BeforeInstall);
    assert_done(&stage.wait(call).1);
    stage.put_back("web", 8080);
    stage.pass(secs(10));
    assert!(stage.ports_in("web").is_empty());
    assert_eq!(stage.view().targets[0].put_back, 1);
    stage.pass(secs(60));
    stage.put_back("web", 8080);
    stage.pass(secs(70));
    assert!(stage.ports_in("web").is_empty());
    assert_eq!(stage.view().targets[0].put_back, 2);
}

#[test]
fn a_target_that_others_removed_is_not_ours_to_give_back() {
    let mut stage = Stage::new().group("admin", &[9000]).group("web", &[8080]).running();
    stage.take_away("admin", 9000);
    assert_done(&stage.run("d-1", E::BeforeInstall));
    assert_done(&stage.run("d-1", E::ValidateService));
    assert!(stage.ports_in("admin").is_empty());
    assert_eq!(stage.ports_in("web"), [8080]);
}

#[test]
fn an_instance_that_is_left_alone_asks_little() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    let before = stage.actions.len();
    stage.pass(secs(3600));
    let asked = stage.actions.len() - before;
    assert!(asked <= 65, "{asked} calls in an hour");
}

#[test]
fn what_has_drained_is_not_counted_any_more() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    assert_done(&stage.run("d-1", E::BeforeInstall));
    let before = stage.actions.len();
    stage.pass(secs(280));
    let asked = stage.actions.len() - before;
    assert!(asked <= 70, "{asked} calls while nothing happens");
}

#[test]
fn a_return_that_began_before_a_restart_is_finished_after_it() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.pass(secs(400));
    stage.restart();
    stage.pass(secs(5));
    assert_done(&stage.run("d-1", E::ValidateService));
    assert_eq!(stage.ports_in("web"), [8080]);
    stage.pass(secs(40));
    assert!(stage.memory().taken_out.is_empty());
    assert_eq!(stage.sentence(), "in traffic: healthy in 1 of 1 target group");
}

#[test]
fn nothing_returns_onto_an_application_that_codedeploys_own_deployment_replaces() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    assert_done(&stage.run("d-1", E::BeforeInstall));
    assert_done(&stage.run("d-2", E::BeforeBlockTraffic));
    let answer = stage.run("d-1", E::ValidateService);
    assert_says(&answer.sentence, "healthy; traffic returns after deployment d-2");
    stage.pass(secs(20));
    assert!(stage.ports_in("web").is_empty());
    assert_says(&stage.sentence(), "CodeDeploy keeps traffic out for deployment d-2");
    assert_done(&stage.run("d-2", E::BeforeAllowTraffic));
    stage.pass(secs(10));
    assert!(stage.ports_in("web").is_empty(), "CodeDeploy is about to put back what it took");
    assert_done(&stage.run("d-2", E::AfterAllowTraffic));
    assert_eq!(stage.ports_in("web"), [8080]);
    assert!(stage.memory().leases.is_empty());
}

#[test]
fn codedeploys_own_deployment_ends_well_while_the_instance_is_kept_out_for_another_reason() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    assert_done(&stage.run("d-2", E::BeforeBlockTraffic));
    stage.out(None);
    stage.pass(secs(20));
    let answer = stage.run("d-2", E::AfterAllowTraffic);
    assert_says(&answer.sentence, "healthy; kept out of traffic for another reason");
}

#[test]
fn a_look_that_is_older_than_the_return_does_not_hide_it_from_the_next_deployment() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    assert_done(&stage.run("d-1", E::BeforeInstall));
    stage.pass(secs(400));
    stage.looks_fall_behind();
    let first = stage.hook("d-1", E::ValidateService);
    stage.pass(secs(2));
    assert_eq!(stage.ports_in("web"), [8080], "though no look shows it");
    let second = stage.hook("d-2", E::BeforeInstall);
    assert_done(&stage.wait(first).1);
    stage.pass(secs(1));
    assert_eq!(stage.answer(second), None);
    assert!(stage.ports_in("web").is_empty(), "taken out again at once, without waiting for a look that shows it");
    stage.looks_catch_up();
    assert_done(&stage.wait(second).1);
    assert!(stage.ports_in("web").is_empty());
}

#[test]
fn a_look_that_is_older_than_the_deregister_call_does_not_make_it_forgotten() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.looks_fall_behind();
    let call = stage.hook("d-1", E::BeforeInstall);
    stage.pass(secs(1));
    assert!(stage.ports_in("web").is_empty(), "though every look shows it");
    stage.abandon(call);
    stage.pass(secs(5));
    stage.looks_catch_up();
    stage.pass(secs(10));
    assert_eq!(stage.ports_in("web"), [8080]);
}
