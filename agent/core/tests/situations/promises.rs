//! The hook before the application stops, of an instance that leaves: told at once how it ends, and when that is taken back.

use pitcrew_core::ids::CallId;
use pitcrew_core::lifecycle::LifecycleEvent as E;
use pitcrew_core::notice::{Notice, NoticeKind};
use pitcrew_core::settings::{BeforeStop, Settings};
use pitcrew_core::wire::{Action, Owner, Verdict};

use crate::stage::{Stage, assert_done, assert_says, secs};

fn settings() -> Settings {
    Settings { owner: Some(Owner::Pitcrew), ..Settings::default() }
}

#[test]
fn the_hook_before_the_stop_waits_for_the_drain_and_no_longer_than_its_share() {
    for (before_stop, open, budget, expected) in [
        (BeforeStop::Drain, Some(0), 120, 7..=8),
        // Nine of twenty seconds: what is left is for drain.d and the last calls.
        (BeforeStop::Drain, Some(1), 20, 12..=13),
        (BeforeStop::Answer, Some(1), 20, 0..=0),
        (BeforeStop::Answer, None, 120, 0..=0),
    ] {
        for event in [E::ApplicationStop, E::BeforeInstall] {
            let mut stage = Stage::with(Settings { before_stop, ..settings() }).group("web", &[8080]).running();
            stage.connections.insert(8080, open);
            let call = stage.hook("d-1", event);
            stage.notice(NoticeKind::SpotTerminate, Some(secs(budget)));
            let noticed = stage.now().at.0;
            let (took, answer) = stage.wait(call);
            assert_done(&answer);
            assert_says(&answer.sentence, "leaving: not returned to traffic");
            assert!(expected.contains(&took.as_secs()), "{before_stop:?} {event}, {budget} s: {took:?}");
            match stage.promise(call) {
                Some((at, promised, within)) => {
                    assert_eq!((*at, promised.verdict), (noticed, Verdict::Done), "told at once how it will end");
                    assert!(took <= *within, "{event} ended after {took:?}, promised within {within:?}");
                }
                None => assert!(took.is_zero(), "{event} waited {took:?} and was told nothing"),
            }
        }
    }
}

/// An instance with a request in flight is noticed while a hook waits for its drain, and may yet stay.
fn promised() -> (Stage, CallId, Notice) {
    let mut stage = Stage::with(Settings { return_when_withdrawn: true, ..settings() }).group("web", &[8080]).running();
    stage.connections.insert(8080, Some(1));
    let call = stage.hook("d-1", E::BeforeInstall);
    stage.pass(secs(2));
    let notice = stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
    assert!(stage.promise(call).is_some());
    (stage, call, notice)
}

#[test]
fn a_withdrawn_notice_takes_the_promise_back_and_the_hook_waits_for_its_drain() {
    let (mut stage, call, notice) = promised();
    stage.pass(secs(3));
    stage.withdraw(notice);
    assert!(stage.promise(call).is_none(), "taken back at once");
    stage.pass(secs(120));
    assert!(stage.answer(call).is_none(), "the request is still in flight");
    stage.connections.insert(8080, Some(0));
    let (_, answer) = stage.wait(call);
    assert_done(&answer);
    assert_says(&answer.sentence, "out of traffic and drained");
}

#[test]
fn a_promise_is_taken_back_once_and_made_again_for_another_notice() {
    let (mut stage, call, notice) = promised();
    stage.withdraw(notice);
    stage.pass(secs(20));
    stage.notice(NoticeKind::SpotTerminate, Some(secs(120)));
    assert!(stage.promise(call).is_some());
    let told = stage.actions.iter().filter(|(_, a)| matches!(a, Action::Promise { .. } | Action::Retract { .. }));
    assert_eq!(told.count(), 3);
}

#[test]
fn another_notice_changes_until_when_the_answer_is_promised() {
    let (mut stage, call, _) = promised();
    let until = |stage: &Stage| stage.promise(call).map(|(at, _, within)| *at + within.as_millis() as u64).unwrap();
    let by_the_first = until(&stage);
    let sooner = stage.notice(NoticeKind::Scheduled, Some(secs(40)));
    let by_the_second = until(&stage);
    assert!(by_the_second < by_the_first);
    stage.withdraw(sooner);
    assert_eq!(until(&stage), by_the_first);
}

/// The client takes a word without a promise as that nothing is promised any more.
#[test]
fn the_agent_after_the_withdrawal_says_how_it_goes_and_promises_nothing() {
    let (mut stage, _, notice) = promised();
    stage.withdraw(notice);
    stage.restart();
    let again = stage.hook("d-1", E::BeforeInstall);
    assert!(stage.promise(again).is_none());
    assert!(!stage.said(again).is_empty(), "its first word comes with the call");
}
