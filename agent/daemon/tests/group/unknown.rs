//! Whatever the answer is where Elastigroup's documents give none, nothing is lost and nobody is stranded.

use std::time::Duration;

use pitcrew_rehearsal::interruption::Moment;
use pitcrew_rehearsal::lifecycle::LifecycleEvent as E;
use pitcrew_rehearsal::rehearsal::{Group, Options, Owner};
use pitcrew_rehearsal::world::elastigroup::{GroupPlan, Unknown, Wish};

use crate::support::{idle, passes, rehearse};
use crate::{asked, held, options, wants};

fn plans() -> impl Iterator<Item = (&'static str, GroupPlan)> {
    Unknown::each().into_iter().map(|(name, unknown)| (name, GroupPlan { unknown, ..GroupPlan::default() }))
}

#[test]
fn a_deployment_comes_out_well_by_either_answer() {
    for (name, plan) in plans() {
        let wish = Some((Wish::Replace, Moment::During(E::Install)));
        for owner in [Owner::Pitcrew, Owner::Elastigroup] {
            println!("{name}, {owner:?}");
            let report = passes(&Options { owner, ..options(4, 2, Group { plan: plan.clone(), wish }) });
            held(&report, "leaves alone");
        }
    }
}

#[test]
fn a_detach_comes_out_well_by_either_answer() {
    for (name, plan) in plans() {
        println!("{name}");
        passes(&options(1, 1, Group { plan, wish: Some((Wish::ScaleIn, idle(70))) }));
    }
}

/// Elastigroup may count an instance as unhealthy that CodeDeploy or Pitcrew has deregistered.
#[test]
fn what_is_out_for_its_deployment_is_not_healed_where_healing_is_suspended_or_standby_hides_it() {
    let unknown = Unknown { heals_deregistered: true, ..Unknown::default() };
    let plan = GroupPlan { unknown, ..GroupPlan::default() };
    for owner in [Owner::Pitcrew, Owner::CodeDeploy, Owner::Elastigroup] {
        let report = passes(&Options { owner, ..options(1, 2, Group { plan: plan.clone(), wish: None }) });
        assert!(report.notices.is_empty(), "{owner:?}");
    }
    let unprotected = "[elastigroup]\nsuspend = []".to_owned();
    let healed = Options { settings: unprotected, ..options(1, 2, Group { plan, wish: None }) };
    let (report, timeline) = rehearse(&healed);
    assert!(!report.notices.is_empty() && report.load.lost == 0, "without the suspension it is taken\n{timeline}");
}

/// Elastigroup may put back a target that it did not take out itself.
#[test]
fn what_elastigroup_puts_back_during_a_deployment_is_taken_out_again() {
    let unknown = Unknown { puts_back: true, ..Unknown::default() };
    let plan = GroupPlan { unknown, ..GroupPlan::default() };
    for seed in 1..=4 {
        let (report, timeline) = rehearse(&options(seed, 2, Group { plan: plan.clone(), wish: None }));
        let out = report.calls.iter().filter(|call| call.action == "DeregisterTargets").count();
        assert!(report.passed && out > 2, "taken out {out} times from two instances\n{timeline}");
    }
}

#[test]
fn tags_that_come_late_and_an_allowance_that_is_small_stop_nothing() {
    let late = GroupPlan { tags_after: Duration::from_secs(15), ..GroupPlan::default() };
    let scarce = GroupPlan { limit: 4, ..GroupPlan::default() };
    for plan in [late, scarce] {
        for owner in [Owner::Pitcrew, Owner::Elastigroup] {
            passes(&Options { owner, ..options(4, 2, Group { plan: plan.clone(), wish: None }) });
        }
    }
    let report = passes(&options(1, 1, wants(Wish::ScaleIn, idle(70))));
    assert_eq!(asked(&report, "signal"), 1);
}
