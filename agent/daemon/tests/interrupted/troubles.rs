//! Troubles while an instance leaves: a metadata service that does not tell, an agent that is killed, a clock that is set.

use std::time::Duration;

use pitcrew_rehearsal::interruption::{Action, Kill, Moment};
use pitcrew_rehearsal::lifecycle::LifecycleEvent;
use pitcrew_rehearsal::rehearsal::Options;
use pitcrew_rehearsal::timeline::Happening;
use pitcrew_rehearsal::verdict::Report;
use pitcrew_rehearsal::world::calls::Caller;
use pitcrew_rehearsal::world::faults::{Fault, MetadataFault};

use crate::support::{idle, notice, options, passes};

const FAULTS: [MetadataFault; 5] = [
    MetadataFault::Hang,
    MetadataFault::Unavailable,
    MetadataFault::Unauthorized,
    MetadataFault::Empty,
    MetadataFault::Flap,
];

fn count(report: &Report, what: fn(&Happening) -> bool) -> usize {
    report.timeline.iter().filter(|entry| entry.instance == Some(1) && what(&entry.what)).count()
}

fn calls(report: &Report, action: &str) -> usize {
    let done = report
        .calls
        .iter()
        .filter(|call| call.caller == Caller::Instance(1) && call.action == action && call.status == 200);
    done.count()
}

/// That a notice is read within a second and a half of the end of the trouble is one of the verdict's findings.
#[test]
fn a_metadata_service_in_trouble_delays_a_notice_only_while_it_is() {
    for fault in FAULTS {
        for seed in 1..=8 {
            let options = options(seed, idle(30), Action::Terminate, 120);
            let report = passes(&Options { metadata_fault: Some(fault), ..options });
            assert!(notice(&report).read_ms.is_some(), "{fault:?}, seed {seed}");
        }
    }
}

#[test]
fn a_metadata_service_in_trouble_does_not_disturb_a_deployment() {
    for fault in FAULTS {
        let mut quiet = options(3, idle(0), Action::Terminate, 120);
        (quiet.interruption, quiet.metadata_fault) = (None, Some(fault));
        let report = passes(&quiet);
        assert_eq!(report.deployments[0].succeeded_on, [1, 2], "{fault:?}");
        let told = options(3, Moment::During(LifecycleEvent::BeforeInstall), Action::Terminate, 120);
        passes(&Options { metadata_fault: Some(fault), ..told });
    }
}

#[test]
fn aws_in_trouble_delays_the_end_but_does_not_prevent_it() {
    for fault in [Fault::Throttle, Fault::ServerErrors, Fault::Slow] {
        for seed in 1..=4 {
            for at in [idle(5), Moment::During(LifecycleEvent::ValidateService)] {
                passes(&Options { fault: Some(fault), ..options(seed, at, Action::Terminate, 120) });
            }
        }
    }
}

/// Every tenth of a second of the first twelve would take minutes: a step that is no multiple of anything meets them all.
#[test]
fn an_agent_killed_at_any_time_after_a_notice_goes_on_where_it_was() {
    for (seed, after) in (0..12_000).step_by(370).map(Duration::from_millis).zip(1..).map(|(after, seed)| (seed, after))
    {
        let options = options(seed, idle(5), Action::Terminate, 60);
        let report = passes(&Options { kill_agent_at: Some(Kill::AfterNotice(after)), ..options });
        assert_eq!(count(&report, |what| matches!(what, Happening::AgentKilled { .. })), 1, "{after:?}");
        assert!(calls(&report, "DeregisterTargets") <= 2, "{after:?}");
        assert_eq!(calls(&report, "DeleteTags"), 1, "{after:?}: one that was answered is not made again");
        assert!(count(&report, |what| matches!(what, Happening::DrainScriptRan { .. })) <= 2, "{after:?}");
    }
}

#[test]
fn an_agent_killed_between_a_call_and_its_answer_makes_sure_and_goes_on() {
    for (action, call) in [
        (Action::Terminate, "DescribeTargetHealth"),
        (Action::Terminate, "DeregisterTargets"),
        (Action::Terminate, "DeleteTags"),
        (Action::AutoScaling, "DeregisterTargets"),
        (Action::AutoScaling, "DeleteTags"),
        (Action::AutoScaling, "CompleteLifecycleAction"),
    ] {
        for seed in 1..=3 {
            for at in [idle(5), Moment::During(LifecycleEvent::ApplicationStop)] {
                let options = options(seed, at, action, 60);
                let report = passes(&Options { kill_agent_at: Some(Kill::Calling(call.to_owned())), ..options });
                let killed = count(&report, |what| matches!(what, Happening::AgentKilled { .. }));
                // CompleteLifecycleAction may be the last that the instance does.
                let gone_first = call == "CompleteLifecycleAction" || at != idle(5);
                assert!(killed == 1 || gone_first, "{call}, seed {seed}: killed {killed} times");
                assert!(calls(&report, "DeleteTags") <= 2, "{call}: once for each life");
            }
        }
    }
}

#[test]
fn a_clock_that_is_set_during_the_drain_moves_no_deadline() {
    for seconds in [-3600, 3600] {
        for (seed, action) in [(1, Action::Terminate), (2, Action::Hibernate), (3, Action::AutoScaling)] {
            for kill_agent_at in [None, Some(Kill::AfterNotice(Duration::from_secs(5)))] {
                let options = Options { clock_jump: Some(seconds), ..options(seed, idle(5), action, 30) };
                let report = passes(&Options { kill_agent_at, ..options });
                let set = count(&report, |what| matches!(what, Happening::Noted { note } if note.contains("clock")));
                assert_eq!(set, 1);
            }
        }
    }
}
