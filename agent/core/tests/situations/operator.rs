//! `pitcrew out` and `pitcrew in`.

use pitcrew_core::lifecycle::LifecycleEvent as E;
use pitcrew_core::notice::NoticeKind;
use pitcrew_core::view::{HoldView, State};
use pitcrew_core::wire::{Event, FailureKind, OperatorRequest, Verdict};

use crate::stage::{Api, Stage, assert_done, assert_says, secs};

#[test]
fn out_leaves_traffic_until_in() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    let call = stage.out(None);
    assert_eq!(stage.view().hold, Some(HoldView { until: None }));
    assert_says(&stage.sentence(), "held by an operator:");
    let (took, answer) = stage.wait(call);
    assert_done(&answer);
    assert!(took <= secs(8), "took {took:?}");
    stage.pass(secs(4000));
    assert!(stage.ports_in("web").is_empty());
    assert_eq!(stage.sentence(), "held by an operator: out of traffic");
    let call = stage.back_in();
    let (_, answer) = stage.wait(call);
    assert_eq!((answer.verdict, answer.sentence.as_str()), (Verdict::Done, "in traffic"));
    assert_eq!(stage.ports_in("web"), [8080]);
    assert_eq!(stage.view().hold, None);
}

#[test]
fn out_for_a_while_ends_by_itself() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    let call = stage.out(Some(secs(120)));
    assert_done(&stage.wait(call).1);
    stage.pass(secs(100));
    assert!(stage.ports_in("web").is_empty());
    stage.pass(secs(25));
    assert_eq!(stage.ports_in("web"), [8080]);
    assert_eq!(stage.view().state, State::Serving);
}

#[test]
fn out_again_moves_the_end() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.out(Some(secs(60)));
    stage.pass(secs(50));
    stage.out(Some(secs(60)));
    stage.pass(secs(50));
    assert!(stage.ports_in("web").is_empty());
    stage.pass(secs(20));
    assert_eq!(stage.ports_in("web"), [8080]);
}

#[test]
fn out_that_is_called_off_says_so_and_does_not_claim_to_stand() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.connections.insert(8080, Some(1));
    let out = stage.out(None);
    stage.pass(secs(5));
    let back = stage.back_in();
    let answer = stage.wait(out).1;
    assert_eq!(answer.verdict, Verdict::Failed);
    assert_says(&answer.sentence, "no longer held");
    assert_done(&stage.wait(back).1);

    let out = stage.out(Some(secs(5)));
    let (took, answer) = stage.wait(out);
    assert_eq!((took, answer.verdict), (secs(5), Verdict::Failed));
}

#[test]
fn in_that_is_overtaken_by_out_says_so() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.out(None);
    stage.pass(secs(20));
    let back = stage.back_in();
    stage.pass(secs(1));
    stage.out(None);
    let answer = stage.wait(back).1;
    assert_eq!(answer.verdict, Verdict::Failed);
    assert_says(&answer.sentence, "held again by another `pitcrew out`");
}

#[test]
fn in_waits_for_the_application() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.out(None);
    stage.pass(secs(20));
    stage.app_is_well = false;
    stage.pass(secs(5));
    let call = stage.back_in();
    let (took, answer) = stage.wait(call);
    assert_eq!((took, answer.verdict), (secs(60), Verdict::TimedOut));
    assert_says(&answer.sentence, "not there yet: waiting for the application");
    assert_says(&answer.sentence, "what was asked still stands");
    stage.app_is_well = true;
    stage.pass(secs(10));
    assert_eq!(stage.ports_in("web"), [8080]);
}

#[test]
fn in_where_nothing_is_out_is_so_at_once() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    let call = stage.back_in();
    assert_eq!(stage.wait(call).0, secs(0));
}

#[test]
fn in_during_a_deployment_leaves_the_return_to_it() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.out(None);
    assert_done(&stage.run("d-1", E::BeforeInstall));
    let call = stage.back_in();
    assert_says(&stage.wait(call).1.sentence, "no longer held; traffic returns after deployment d-1");
    assert!(stage.ports_in("web").is_empty());
    assert_done(&stage.run("d-1", E::ValidateService));
    assert_eq!(stage.ports_in("web"), [8080]);
}

#[test]
fn a_deployment_during_a_hold_ends_well_and_stays_out() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.out(None);
    assert_done(&stage.run("d-1", E::BeforeInstall));
    let answer = stage.run("d-1", E::ValidateService);
    assert_done(&answer);
    assert_says(&answer.sentence, "held out of traffic by an operator until `pitcrew in`");
    stage.pass(secs(30));
    assert!(stage.ports_in("web").is_empty());
}

#[test]
fn an_operator_takes_the_last_healthy_target_out() {
    let mut stage = Stage::new().group("web", &[8080]).peers(2, 0).running();
    let call = stage.out(None);
    assert_done(&stage.wait(call).1);
    assert!(stage.ports_in("web").is_empty());
}

#[test]
fn in_is_refused_to_a_leaving_instance() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.out(None);
    stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
    let call = stage.back_in();
    let answer = stage.wait(call).1;
    assert_eq!(answer.verdict, Verdict::Refused);
    assert_says(&answer.sentence, "leaving (spot-terminate): this instance does not return to traffic");
}

#[test]
fn what_only_a_policy_can_mend_is_said_at_once() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.fail(Api::Deregister, 1000, FailureKind::Denied);
    let call = stage.out(None);
    let (took, answer) = stage.wait(call);
    assert!(took < secs(1), "took {took:?}");
    assert_eq!(answer.verdict, Verdict::Misconfigured);
    assert_says(&answer.sentence, "Deregister failed: Denied");
}

#[test]
fn a_caller_that_goes_away_does_not_undo_what_was_asked() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.connections.insert(8080, Some(1));
    let call = stage.operator(OperatorRequest::Out { ttl: None, patience: secs(600) });
    stage.pass(secs(5));
    stage.abandon(call);
    assert_says(&stage.answer(call).unwrap().sentence, "what was asked still stands");
    stage.pass(secs(5));
    assert!(stage.ports_in("web").is_empty());
}

#[test]
fn leave_is_answered_when_the_last_step_is_done() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    let call = stage.operator(OperatorRequest::Leave { within: Some(secs(60)), waits: true, patience: secs(300) });
    let (took, answer) = stage.wait(call);
    assert_eq!((answer.verdict, answer.sentence.as_str()), (Verdict::Done, "left: out of traffic for good"));
    assert!(took <= secs(10), "took {took:?}");
    assert!(stage.ports_in("web").is_empty());
    let back = stage.back_in();
    assert_eq!(stage.wait(back).1.verdict, Verdict::Refused);
}

#[test]
fn leave_that_does_not_wait_is_answered_at_once() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    let call = stage.operator(OperatorRequest::Leave { within: Some(secs(60)), waits: false, patience: secs(300) });
    let (took, answer) = stage.wait(call);
    assert_eq!((took, answer.verdict), (secs(0), Verdict::Done));
    assert_eq!(answer.sentence, "leaving, within 60 s");
    assert_eq!(stage.view().state, State::Leaving);
}

#[test]
fn leave_that_was_cut_short_says_what_was_skipped() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.connections.insert(8080, Some(1));
    let call = stage.operator(OperatorRequest::Leave { within: Some(secs(20)), waits: true, patience: secs(300) });
    let (took, answer) = stage.wait(call);
    assert_eq!(answer.verdict, Verdict::Failed);
    assert_says(&answer.sentence, "left, but the drain was cut short");
    assert!(took <= secs(20), "took {took:?}");
}

#[test]
fn nobody_says_that_the_instance_is_in_traffic_before_its_groups_are_known() {
    let mut stage = Stage::new().group("web", &[8080]);
    stage.fail(Api::Discover, 8, FailureKind::Unavailable);
    stage.step(Event::Started);
    stage.pass(secs(4));
    assert_eq!(stage.view().state, State::Starting);
    assert_says(&stage.sentence(), "starting: target groups are not known yet (Discover failed: Unavailable)");
    assert!(!stage.view().settled);
    let call = stage.back_in();
    assert!(stage.answer(call).is_none());
    let (took, answer) = stage.wait(call);
    assert_done(&answer);
    assert!(took > secs(1), "took {took:?}");
    assert_eq!(stage.sentence(), "in traffic: healthy in 1 of 1 target group");
}

#[test]
fn an_agent_that_may_not_look_for_groups_says_so_and_serves() {
    let mut stage = Stage::new().group("web", &[8080]);
    stage.fail(Api::Discover, 1000, FailureKind::Denied);
    stage = stage.running();
    assert_eq!(stage.view().state, State::Serving);
    assert_says(&stage.sentence(), "not known whether in traffic: Discover failed: Denied");
    let call = stage.back_in();
    assert_eq!(stage.wait(call).1.verdict, Verdict::Misconfigured);
}
