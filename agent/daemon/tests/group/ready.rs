//! A new instance: bootstrap, health, first deployment, ready, traffic; in that order, or never.

use std::time::Duration;

use pitcrew_rehearsal::lifecycle::LifecycleEvent as E;
use pitcrew_rehearsal::rehearsal::{Group, Options};
use pitcrew_rehearsal::timeline::{Entry, Happening};
use pitcrew_rehearsal::verdict::Report;
use pitcrew_rehearsal::world::elastigroup::{GroupPlan, Unknown};

use crate::logged::logged;
use crate::support::{found, passes};
use crate::{asked, held, options};

fn new_instances(seed: u64, plan: GroupPlan) -> Options {
    Options { first: true, ..options(seed, 2, Group { plan, wish: None }) }
}

fn within(seconds: u64) -> GroupPlan {
    GroupPlan { ready: Some(Duration::from_secs(seconds)), ..GroupPlan::default() }
}

/// When this happened on the instance first.
#[track_caller]
fn first(report: &Report, instance: u8, which: impl Fn(&Happening) -> bool) -> Duration {
    let is_it = |entry: &&Entry| entry.instance == Some(instance) && which(&entry.what);
    report.timeline.iter().find(is_it).expect("it happened").at
}

fn is_ready_signal(what: &Happening) -> bool {
    matches!(what, Happening::Noted { note } if note.contains("INSTANCE_READY\""))
}

#[test]
fn a_new_instance_gets_traffic_after_its_first_deployment() {
    for seed in 1..=5 {
        let report = passes(&new_instances(seed, within(600)));
        held(&report, "ready is said");
        assert_eq!(asked(&report, "signal"), 2, "one for each instance");
        for instance in [1, 2] {
            let started = first(&report, instance, |what| matches!(what, Happening::AgentStarted));
            let validated = first(
                &report,
                instance,
                |what| matches!(what, Happening::ScriptEnded(end) if end.event == E::ValidateService && end.shim),
            );
            let ready = first(&report, instance, is_ready_signal);
            let traffic = first(&report, instance, |what| matches!(what, Happening::TargetRegistered { .. }));
            assert!(started < validated && validated < ready && ready <= traffic, "seed {seed}, instance {instance}");
        }
    }
}

#[test]
fn a_new_instance_whose_deployment_fails_is_never_ready() {
    for event in [E::BeforeInstall, E::ApplicationStart, E::ValidateService] {
        let report = passes(&Options { fail_at: Some(event), ..new_instances(1, within(600)) });
        let failed = report.deployments.iter().flat_map(|ended| &ended.failed_on).collect::<Vec<_>>();
        assert_eq!(failed, [&1], "{event}");
        assert_eq!(asked(&report, "signal"), 0, "the deployment never got to the second");
        assert_eq!(held(&report, "ready is said"), "instance 1 never; instance 2 never");
        assert!(found(&report, "healthy means back").1.contains("held back"));
    }
}

#[test]
fn an_instance_that_is_not_ready_in_time_is_replaced_and_gets_no_request() {
    // Overdue in the middle of its deployment; it is held for five minutes, and nobody but the group knows.
    let slow = Options { instances: 1, rate: 1, requests: 330, ..new_instances(1, within(10)) };
    let slow = Options { fail_at: Some(E::ValidateService), ..slow };
    let report = passes(&slow);
    assert!(!report.timeline.iter().any(|entry| is_ready_signal(&entry.what)));
    let notice = &report.notices[0].notice;
    assert!(notice.taken_away.is_some() && notice.in_traffic.is_empty(), "{notice:#?}");
}

#[test]
fn ready_that_comes_too_late_is_taken_and_shown_and_not_repeated() {
    let unknown = Unknown { replaces_unready: false, ..Unknown::default() };
    let late = new_instances(2, GroupPlan { unknown, ..within(5) });
    let (report, log) = logged(|| passes(&late));
    held(&report, "ready is said");
    assert_eq!(asked(&report, "signal"), 2, "saying it again does not help");
    assert_eq!(log.matches("This instance crossed the signal timeout limit").count(), 2, "{log}");
}
