//! An agent that hears nothing, and one that hears and does as before: the verdict sees both.

use std::time::Duration;

use pitcrew_rehearsal::interruption::{Action, Interruption, Moment};
use pitcrew_rehearsal::lifecycle::LifecycleEvent;
use pitcrew_rehearsal::rehearsal::{Options, Owner};
use pitcrew_rehearsal::verdict::Judgement;

use crate::{judgement, options, play, told};

fn interrupted(at: Moment, notice: u64) -> Options {
    let notice = Duration::from_secs(notice);
    let interruption = Interruption { at, action: Action::Terminate, notice, withdrawn_after: None };
    Options { interruption: Some(interruption), requests: 0, ..options() }
}

#[test]
fn an_agent_that_does_not_hear_of_its_end_loses_requests_and_breaks_the_verdict() {
    let report = play(&interrupted(Moment::Idle(Duration::from_secs(5)), 20));
    assert!(report.load.lost > 0 && !report.passed, "{}", told(&report));
    assert_eq!(report.notices[0].read_ms, None);
    for (expectation, why) in [
        ("a notice is read", "instance 1 never read of terminate"),
        ("out of every balancer", "instance 1 went while it was registered in sample-web"),
    ] {
        let (judged, said) = judgement(&report, expectation);
        assert_eq!((judged, said.as_str()), (Judgement::Broken, why));
    }
    assert!(report.reasons[0].contains("was taken away in traffic"), "{:?}", report.reasons);
}

#[test]
fn an_agent_that_registers_after_it_has_read_the_notice_breaks_the_verdict() {
    let report = play(&interrupted(Moment::During(LifecycleEvent::BeforeInstall), 60));
    assert!(report.notices[0].read_ms.is_some(), "the hooks read it\n{}", told(&report));
    let (judged, why) = judgement(&report, "no registration once leaving");
    assert!(judged == Judgement::Broken && why.contains("after it had read the notice"), "{why}");
    let (judged, why) = judgement(&report, "hooks of a leaving instance");
    assert!(judged == Judgement::Broken && why.contains("ValidateService was answered after"), "{why}");
    let (judged, why) = judgement(&report, "deadlines are kept");
    assert!(judged == Judgement::Broken && why.contains("went before DeleteTags"), "{why}");
}

#[test]
fn a_deployment_ends_with_its_instance_and_harms_no_other() {
    let report = play(&Options { instances: 2, ..interrupted(Moment::During(LifecycleEvent::ApplicationStop), 5) });
    let (judged, why) = judgement(&report, "the deployment ends as it should");
    assert!(judged == Judgement::Held && why.contains("the instance was taken away"), "{why}");
    assert_eq!(report.deployments[0].failed_on, [1]);
}

#[test]
fn two_owners_of_traffic_break_the_verdict() {
    let report =
        play(&Options { owner: Owner::CodeDeploy, deregistration_delay: Duration::from_secs(10), ..options() });
    let (judged, why) = judgement(&report, "never two owners");
    assert!(judged == Judgement::Broken && why.contains("instance 1 called DeregisterTargets"), "{why}");
    assert!(told(&report).contains("from sample-web (by CodeDeploy)"));
}
