//! Instances of an Elastigroup under virtual time: protected while they are deployed to, ready after it, drained before
//! they go, never left in standby; also while the API is in trouble, and whatever is unknown of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod fleet;
#[path = "../interrupted/support.rs"]
#[allow(dead_code, reason = "shared with the interruptions")]
mod support;

use std::time::Duration;

use pitcrew_rehearsal::bundle::Bundle;
use pitcrew_rehearsal::interruption::{Kill, Moment};
use pitcrew_rehearsal::lifecycle::LifecycleEvent as E;
use pitcrew_rehearsal::rehearsal::{Group, Options, Owner};
use pitcrew_rehearsal::verdict::{Judgement, Report};
use pitcrew_rehearsal::world::elastigroup::{GroupFault, GroupPlan, Wish};
use support::{found, idle, passes};

/// Instances of a group that wants something, one more that only carries traffic, and a little load.
fn options(seed: u64, instances: u8, group: Group) -> Options {
    let mut options = Options::of(Bundle::sample().unwrap());
    (options.seed, options.instances, options.rate, options.requests) = (seed, instances, 10, 0);
    options.deregistration_delay = Duration::from_secs(20);
    options.elastigroup = Some(group);
    options
}

fn wants(wish: Wish, at: Moment) -> Group {
    Group { wish: Some((wish, at)), ..Group::default() }
}

#[track_caller]
fn held(report: &Report, expectation: &str) {
    let (judgement, why) = found(report, expectation);
    assert_eq!(judgement, Judgement::Held, "seed {}: {expectation}: {why}", report.seed);
}

#[test]
fn what_is_deployed_to_is_left_alone_and_nothing_is_locked_afterwards() {
    for (wish, at) in [
        (Wish::Replace, E::Install),
        (Wish::Unhealthy, E::ApplicationStart),
        (Wish::ScaleIn, E::BeforeInstall),
        (Wish::Replace, E::ValidateService),
    ] {
        let report = passes(&options(1, 3, wants(wish, Moment::During(at))));
        held(&report, "leaves alone");
        held(&report, "protections are released");
    }
}

#[test]
fn an_agent_that_is_killed_in_a_deployment_gives_back_what_it_took() {
    for event in [E::ApplicationStop, E::BeforeInstall, E::ValidateService] {
        let killed = Options {
            kill_agent_at: Some(Kill::During(event)),
            ..options(2, 2, wants(Wish::Replace, Moment::During(E::Install)))
        };
        held(&passes(&killed), "protections are released");
    }
}

fn new_instances(seed: u64) -> Options {
    let plan = GroupPlan { ready: Some(Duration::from_secs(600)), ..GroupPlan::default() };
    Options { first: true, ..options(seed, 2, Group { plan, wish: None }) }
}

#[test]
fn a_new_instance_gets_traffic_after_its_first_deployment() {
    for seed in 1..=3 {
        let report = passes(&new_instances(seed));
        held(&report, "ready is said");
        let ready = report.elastigroup_routes.iter().find(|route| route.route.ends_with("signal")).unwrap();
        assert_eq!(ready.requests, 2, "one for each instance");
    }
}

#[test]
fn a_new_instance_whose_deployment_fails_is_never_ready() {
    let report = passes(&Options { fail_at: Some(E::ValidateService), ..new_instances(1) });
    assert!(report.deployments[0].succeeded_on.is_empty() || !report.deployments[0].failed_on.is_empty());
    held(&report, "ready is said");
    assert!(found(&report, "healthy means back").1.contains("held back"));
}

#[test]
fn what_is_detached_drains_and_says_once_that_it_may_go() {
    for (wish, instances) in [(Wish::ScaleIn, 1), (Wish::Replace, 1), (Wish::Roll, 3)] {
        let report = passes(&options(1, instances, wants(wish, idle(70))));
        held(&report, "said once");
        let gone = report.notices.iter().filter(|notice| notice.notice.taken_away.is_some()).count();
        assert_eq!(gone, if wish == Wish::Roll { 2 } else { 1 });
    }
}

#[test]
fn a_roll_that_meets_a_deployment_loses_nothing() {
    let report = passes(&options(3, 3, wants(Wish::Roll, Moment::During(E::Install))));
    held(&report, "said once");
}

#[test]
fn a_group_that_declares_no_shutdown_signal_is_told_nothing() {
    let plan = GroupPlan { shutdown: None, draining_timeout: Duration::from_secs(120), ..GroupPlan::default() };
    let report = passes(&options(1, 1, Group { plan, wish: Some((Wish::ScaleIn, idle(70))) }));
    assert!(!report.elastigroup_routes.iter().any(|route| route.route.ends_with("signal")));
}

fn by_standby(seed: u64) -> Options {
    Options { owner: Owner::Elastigroup, ..options(seed, 2, Group::default()) }
}

#[test]
fn standby_takes_an_instance_out_and_back_around_its_deployment() {
    let report = passes(&by_standby(1));
    held(&report, "protections are released");
    let moved = |action: &str| report.calls.iter().filter(|call| call.action.ends_with(action)).count();
    assert_eq!((moved("standby/enter"), moved("standby/exit")), (2, 2));
    assert_eq!((moved("RegisterTargets"), moved("DeregisterTargets")), (0, 0), "nobody else moves traffic");
}

#[test]
fn nothing_is_left_in_standby_by_a_deployment_that_fails_or_an_agent_that_dies() {
    let scripted = [E::ApplicationStop, E::BeforeInstall, E::AfterInstall, E::ApplicationStart, E::ValidateService];
    for event in scripted {
        let fails = Options { fail_at: Some(event), ..by_standby(1) };
        held(&passes(&fails), "protections are released");
        let dies = Options { kill_agent_at: Some(Kill::During(event)), ..by_standby(2) };
        held(&passes(&dies), "protections are released");
    }
    let both =
        Options { kill_agent_at: Some(Kill::During(E::Install)), fail_at: Some(E::ApplicationStart), ..by_standby(3) };
    held(&passes(&both), "protections are released");
}

#[test]
fn trouble_with_the_api_stops_neither_deployments_nor_drains() {
    for fault in GroupFault::ALL {
        let plan = GroupPlan { fault: Some(fault), ..GroupPlan::default() };
        for owner in [Owner::Pitcrew, Owner::Elastigroup] {
            let deploys = Options { owner, ..options(1, 2, Group { plan: plan.clone(), wish: None }) };
            let report = passes(&deploys);
            assert!(report.deployments.iter().all(|ended| ended.failed_on.is_empty()), "{fault:?} {owner:?}");
        }
        passes(&options(1, 1, Group { plan, wish: Some((Wish::ScaleIn, idle(5))) }));
    }
}

#[test]
fn whatever_is_unknown_of_elastigroup_comes_out_well() {
    let plan = GroupPlan::default();
    let answers = [
        GroupPlan { lock_stops_replacement: true, ..plan.clone() },
        GroupPlan { prolongs_suspensions: false, ..plan.clone() },
        GroupPlan { standby_gives_back: false, ..plan.clone() },
        GroupPlan { tags_after: Duration::from_secs(15), ..plan.clone() },
        GroupPlan { limit: 4, ..plan },
    ];
    for (n, plan) in answers.into_iter().enumerate() {
        let wish = Some((Wish::Replace, Moment::During(E::Install)));
        for owner in [Owner::Pitcrew, Owner::Elastigroup] {
            // A lock that comes late may come too late; the deployment goes on all the same.
            let wish = wish.filter(|_| n < 3);
            passes(&Options { owner, ..options(4, 2, Group { plan: plan.clone(), wish }) });
        }
    }
}
