//! Leaving traffic: as soon as nothing is in flight, and never while something is.

use pitcrew_core::lifecycle::LifecycleEvent as E;
use pitcrew_core::settings::Settings;
use pitcrew_core::wire::{Owner, Verdict};

use crate::stage::{Stage, assert_done, assert_says, secs};

#[test]
fn nothing_in_flight_takes_eight_seconds_and_not_the_deregistration_delay() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    let call = stage.hook("d-1", E::ApplicationStop);
    let (took, answer) = stage.wait(call);
    assert_done(&answer);
    assert!(took >= secs(7) && took <= secs(8), "took {took:?}");
    assert!(stage.ports_in("web").is_empty());
    assert_says(&answer.sentence, "out of traffic and drained");
}

#[test]
fn the_next_hook_need_not_wait_again() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.run("d-1", E::ApplicationStop);
    stage.pass(secs(20));
    let call = stage.hook("d-1", E::BeforeInstall);
    let (took, answer) = stage.wait(call);
    assert_done(&answer);
    assert_eq!(took, secs(0));
    assert_eq!(stage.deregistered(), 1);
}

#[test]
fn a_request_of_ten_seconds_holds_the_hook_until_it_has_ended() {
    let mut stage = Stage::new().group("web", &[8080]).running();
    stage.connections.insert(8080, Some(1));
    let call = stage.hook("d-1", E::ApplicationStop);
    stage.pass(secs(10));
    assert_says(stage.said(call).last().unwrap(), "web: draining port 8080, 1 connection open");
    stage.connections.insert(8080, Some(0));
    let (took, answer) = stage.wait(call);
    assert_done(&answer);
    assert!(took >= secs(2) && took <= secs(3), "took {took:?} more");
}

#[test]
fn a_connection_that_never_ends_is_waited_for_as_long_as_the_deregistration_delay() {
    let mut stage = Stage::new().group("web", &[8080]).delay(secs(60)).running();
    stage.connections.insert(8080, Some(3));
    let call = stage.hook("d-1", E::BeforeInstall);
    let (took, answer) = stage.wait(call);
    assert_done(&answer);
    assert!(took >= secs(60) && took <= secs(61), "took {took:?}");
    assert!(stage.said(call).iter().any(|said| said.contains("3 connections open")));
}

#[test]
fn connections_that_cannot_be_counted_are_waited_for_as_long_as_the_deregistration_delay() {
    let mut stage = Stage::new().group("web", &[8080]).delay(secs(120)).running();
    stage.connections.insert(8080, None);
    let call = stage.hook("d-1", E::BeforeInstall);
    let (took, answer) = stage.wait(call);
    assert_done(&answer);
    assert!(took >= secs(120) && took <= secs(121), "took {took:?}");
    assert!(stage.said(call).iter().any(|said| said.contains("connections cannot be counted")));
}

#[test]
fn without_a_deregistration_delay_nothing_is_waited_for() {
    let mut stage = Stage::new().group("web", &[8080]).delay(secs(0)).running();
    let call = stage.hook("d-1", E::BeforeInstall);
    let (took, answer) = stage.wait(call);
    assert_done(&answer);
    assert!(took <= secs(1), "took {took:?}");
}

#[test]
fn every_group_and_every_port_must_be_out() {
    let mut stage = Stage::new().group("admin", &[9000]).group("web", &[8080, 8081]).running();
    stage.connections.insert(8081, Some(2));
    let call = stage.hook("d-1", E::BeforeInstall);
    stage.pass(secs(30));
    assert_eq!(stage.answer(call), None);
    assert_says(stage.said(call).last().unwrap(), "1 of 2 target groups out; web: draining port 8081, 2 connections");
    stage.connections.insert(8081, Some(0));
    let (_, answer) = stage.wait(call);
    assert_done(&answer);
    assert_says(&answer.sentence, "3 targets");
}

#[test]
fn an_instance_in_no_target_group_has_nothing_to_leave() {
    let mut stage = Stage::new().running();
    let answer = stage.run("d-1", E::BeforeInstall);
    assert_done(&answer);
    assert_says(&answer.sentence, "in no target group, nothing to leave");
}

#[test]
fn the_last_healthy_target_of_a_group_waits_for_another_one() {
    let mut stage = Stage::new().group("web", &[8080]).peers(2, 0).running();
    let call = stage.hook("d-1", E::ApplicationStop);
    stage.pass(secs(30));
    assert_eq!(stage.answer(call), None);
    assert_eq!(stage.ports_in("web"), [8080]);
    assert_says(stage.said(call).last().unwrap(), "no other target is healthy, waiting for one (keep_last_healthy)");
    stage.at("web").healthy_peers = 1;
    let (took, answer) = stage.wait(call);
    assert_done(&answer);
    assert!(took <= secs(11), "took {took:?} more");
}

#[test]
fn the_last_healthy_target_is_not_taken_out_and_the_hook_says_why_it_failed() {
    let mut stage = Stage::new().group("web", &[8080]).peers(2, 0).running();
    stage.patience = secs(120);
    let call = stage.hook("d-1", E::BeforeInstall);
    let (took, answer) = stage.wait(call);
    assert_eq!(took, secs(120));
    assert_eq!(answer.verdict, Verdict::TimedOut);
    assert_says(&answer.sentence, "keep_last_healthy");
    assert_says(&answer.sentence, "still in traffic, as before");
    assert_eq!(stage.deregistered(), 0);
    assert!(stage.memory().leases.is_empty());
}

#[test]
fn the_last_healthy_target_goes_where_the_operator_allows_it() {
    let settings = Settings { owner: Some(Owner::Pitcrew), keep_last_healthy: false, ..Settings::default() };
    let mut stage = Stage::with(settings).group("web", &[8080]).peers(2, 0).running();
    assert_done(&stage.run("d-1", E::BeforeInstall));
}

#[test]
fn an_unhealthy_target_is_not_the_last_healthy_one() {
    let mut stage = Stage::new().group("web", &[8080]).peers(2, 0);
    stage.app_is_well = false;
    let mut stage = stage.running();
    assert_done(&stage.run("d-1", E::BeforeInstall));
}

#[test]
fn a_group_of_one_proceeds_and_says_so() {
    let mut stage = Stage::new().group("arn:aws:elasticloadbalancing:x:1:targetgroup/web/50dc", &[8080]).peers(0, 0);
    stage.patience = secs(60);
    let mut stage = stage.running();
    let answer = stage.run("d-1", E::BeforeInstall);
    assert_done(&answer);
    assert_says(&answer.sentence, "no other target in web: its requests find nobody meanwhile");
}
