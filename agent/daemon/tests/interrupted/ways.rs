//! Every way of being taken away, beside Spot's: advice, maintenance, a group that shrinks, a shutdown, a change of mind.

use std::time::Duration;

use pitcrew_rehearsal::interruption::{Action, Interruption, Moment};
use pitcrew_rehearsal::lifecycle::LifecycleEvent;
use pitcrew_rehearsal::rehearsal::Options;
use pitcrew_rehearsal::timeline::Happening;
use pitcrew_rehearsal::verdict::{Judgement, Report};
use pitcrew_rehearsal::world::calls::{Call, Caller};

use crate::support::{found, idle, notice, options, passes};

const MIDDLE: Moment = Moment::During(LifecycleEvent::Install);

fn called<'a>(report: &'a Report, action: &'a str) -> impl Iterator<Item = &'a Call> {
    report
        .calls
        .iter()
        .filter(move |call| call.caller == Caller::Instance(1) && call.action == action && call.status == 200)
}

#[test]
fn a_recommendation_moves_no_traffic_and_stops_no_deployment() {
    for (seed, at) in [(1, idle(5)), (2, MIDDLE), (3, Moment::During(LifecycleEvent::ValidateService))] {
        let report = passes(&options(seed, at, Action::Rebalance, 120));
        let notice = notice(&report);
        assert!(notice.read_ms.is_some() && notice.notice.taken_away.is_none());
        assert_eq!(found(&report, "healthy means back").1, "every instance is healthy in every place that it had");
        if at == idle(5) {
            assert_eq!(called(&report, "DeregisterTargets").count(), 0);
        } else {
            assert_eq!(report.deployments[0].succeeded_on, [1, 2]);
        }
    }
}

#[test]
fn a_scheduled_event_is_left_before() {
    for (seed, at) in [(1, idle(5)), (2, MIDDLE)] {
        let report = passes(&options(seed, at, Action::Scheduled, 90));
        assert!(notice(&report).read_ms.unwrap() <= 34_000);
    }
}

#[test]
fn a_group_that_terminates_waits_and_is_told_when_the_instance_may_go() {
    for (seed, at, timeout) in [(1, idle(5), 120), (2, MIDDLE, 120), (3, idle(5), 13), (4, MIDDLE, 13)] {
        let report = passes(&options(seed, at, Action::AutoScaling, timeout));
        assert_eq!(called(&report, "CompleteLifecycleAction").count(), 1);
        let notice = &notice(&report).notice;
        let took = notice.taken_away.unwrap() - notice.given;
        assert!(took < Duration::from_secs(25), "nobody waits for the hook's timeout: {took:?}");
        // Leaving traffic takes longer than the short hook waits for its first beat.
        let beats = called(&report, "RecordLifecycleActionHeartbeat").count();
        assert!(timeout > 13 || at == MIDDLE || beats > 0, "{beats} heartbeats");
    }
}

#[test]
fn a_shutdown_leaves_traffic_before_the_agent_ends() {
    for (seed, at) in [(1, idle(5)), (2, MIDDLE), (3, Moment::During(LifecycleEvent::ApplicationStop))] {
        let report = passes(&options(seed, at, Action::Shutdown, 90));
        let of = |what: fn(&Happening) -> bool| {
            report.timeline.iter().find(|entry| entry.instance == Some(1) && what(&entry.what)).map(|entry| entry.at)
        };
        let stopped = of(|what| *what == Happening::AgentStopped).unwrap();
        let given = notice(&report).notice.given;
        assert!(stopped - given < Duration::from_secs(15), "{:?}", stopped - given);
    }
}

#[test]
fn a_notice_that_is_taken_back_leaves_the_instance_out_and_whole() {
    for (seed, at) in [(1, idle(5)), (2, MIDDLE)] {
        let mut options = options(seed, at, Action::Terminate, 120);
        let withdrawn_after = Some(Duration::from_secs(6));
        options.interruption = options.interruption.map(|told| Interruption { withdrawn_after, ..told });
        let report = passes(&options);
        assert!(notice(&report).notice.taken_away.is_none() && notice(&report).notice.withdrawn.is_some());
        let (judgement, why) = found(&report, "healthy means back");
        assert!(judgement == Judgement::Held && why.contains("instance 1 stays out"), "{why}");
    }
}

#[test]
fn a_deployment_that_meets_a_notice_ends_well_where_it_has_the_time() {
    for event in LifecycleEvent::order(false) {
        let report = passes(&options(11, Moment::During(*event), Action::Terminate, 120));
        assert_eq!(report.deployments[0].succeeded_on, [1, 2], "notice at {event}");
        assert_eq!(report.deployments[0].failed, None, "notice at {event}");
    }
}

#[test]
fn little_notice_is_enough_for_short_requests() {
    for seed in 1..=10 {
        let report = passes(&options(seed, idle(5), Action::Terminate, 6));
        assert!(notice(&report).deregister_ms.is_some());
    }
}

#[test]
fn an_agent_that_is_not_there_loses_requests_and_the_verdict_says_why() {
    let options = Options { agents: false, ..options(1, idle(5), Action::Terminate, 20) };
    let (report, _) = crate::support::rehearse(&options);
    assert!(!report.passed && report.load.lost > 0);
    assert!(report.reasons[0].contains("was taken away in traffic of sample-web"), "{:?}", report.reasons);
}
