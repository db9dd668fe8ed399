//! One deployment under every trouble that a rehearsal can make: the real agent, under virtual time.

use std::time::Duration;

use pitcrew_rehearsal::interruption::Kill;
use pitcrew_rehearsal::lifecycle::LifecycleEvent;
use pitcrew_rehearsal::rehearsal::{Hooks, Options, Owner};
use pitcrew_rehearsal::verdict::{Judgement, Report};
use pitcrew_rehearsal::world::faults::Fault;

use super::{options, rehearse};

/// Little load: every request that is lost is still seen.
fn quiet(seed: u64) -> Options {
    Options { rate: 20, ..options(seed) }
}

/// Plays `options`, which must pass with nothing lost.
fn passes(options: &Options) -> Report {
    let (report, timeline) = rehearse(options);
    let broken: Vec<_> = report.findings.iter().filter(|finding| finding.judgement == Judgement::Broken).collect();
    assert!(report.passed, "seed {}: {broken:#?}, {:#?}\n{timeline}", options.seed, report.reasons);
    assert!(report.load.sent > 100, "{} requests show nothing", report.load.sent);
    report
}

fn found(report: &Report, expectation: &str) -> (Judgement, String) {
    let finding = report.findings.iter().find(|finding| finding.expectation.contains(expectation)).unwrap();
    (finding.judgement, finding.why.clone())
}

#[test]
fn a_deployment_that_fails_in_any_event_forgets_no_instance() {
    for (event, is_back) in [
        (LifecycleEvent::ApplicationStop, true),
        (LifecycleEvent::BeforeInstall, false),
        (LifecycleEvent::AfterInstall, false),
        (LifecycleEvent::ApplicationStart, false),
        (LifecycleEvent::ValidateService, true),
    ] {
        let report = passes(&Options { fail_at: Some(event), ..quiet(5) });
        assert_eq!(report.deployments[0].failed_on, [1], "{event}");
        let expected = match is_back {
            true => "every instance is healthy in every place that it had",
            false => "instance 1 is unhealthy, out, and reported so",
        };
        assert_eq!(found(&report, "healthy means back"), (Judgement::Held, expected.to_owned()), "{event}");
    }
}

#[test]
fn an_agent_that_is_killed_in_any_event_ends_the_deployment_well() {
    for (event, seed) in LifecycleEvent::order(false).iter().zip(1..) {
        let report = passes(&Options { kill_agent_at: Some(Kill::During(*event)), ..quiet(seed) });
        assert_eq!((report.deployments[0].succeeded_on.as_slice(), report.load.lost), ([1].as_slice(), 0), "{event}");
    }
}

#[test]
fn several_instances_roll_one_by_one_and_none_is_lost() {
    for (seed, owner) in [(1, Owner::Pitcrew), (2, Owner::CodeDeploy)] {
        let deregistration_delay = Duration::from_secs(20);
        let report = passes(&Options { instances: 3, owner, deregistration_delay, ..quiet(seed) });
        assert_eq!(report.deployments[0].succeeded_on, [1, 2, 3]);
    }
}

#[test]
fn no_request_in_flight_is_cut_and_none_in_flight_is_not_waited_for() {
    let report = passes(&Options { slow_requests: Some(Duration::from_secs(10)), ..quiet(3) });
    assert!(report.load.latency.max_ms > 5_000.0, "{} ms", report.load.latency.max_ms);
    for seed in 1..=3 {
        let report = passes(&quiet(seed));
        let drain = report.absences[0].drain.unwrap();
        assert!(drain <= Duration::from_secs(8), "{drain:?} of a delay of 300 s");
    }
}

#[test]
fn a_previous_revision_without_shim_loses_what_it_must_and_is_named() {
    let (report, _) = rehearse(&Options { hooks: Hooks::NewOnly, ..quiet(4) });
    assert!(!report.passed && report.load.lost > 0);
    let why = "ApplicationStop runs the scripts of the previous revision (v1), which has no `pitcrew hook` shim";
    assert!(report.reasons[0].contains(why), "{:?}", report.reasons);
}

#[test]
fn two_deployments_at_once_return_traffic_once() {
    for seed in 1..=3 {
        let report = passes(&Options { overlap: true, ..quiet(seed) });
        let (judgement, why) = found(&report, "traffic returns once");
        assert!(judgement == Judgement::Held && why.contains("registered once"), "{why}");
    }
}

#[test]
fn aws_in_trouble_delays_a_deployment_and_loses_nothing() {
    for (fault, seed) in [(Fault::Throttle, 1), (Fault::ServerErrors, 2), (Fault::Slow, 3)] {
        let report = passes(&Options { fault: Some(fault), ..quiet(seed) });
        assert_eq!(report.deployments[0].succeeded_on, [1], "{fault:?}");
    }
    let report = passes(&Options { fault: Some(Fault::Denied), ..quiet(4) });
    let why = report.deployments[0].failed.clone().unwrap();
    assert!(why.contains("exit code 78"), "{why}");
    let registers = report.calls.iter().filter(|call| call.action == "RegisterTargets").count();
    assert_eq!(registers, 0, "what could not be taken out is not put back");
}

#[test]
fn first_deployments_and_balancers_that_keep_nothing_alive_lose_nothing() {
    passes(&Options { first: true, ..quiet(1) });
    passes(&Options { keep_alive: false, ..quiet(2) });
}
