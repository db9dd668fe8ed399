//! Where CodeDeploy's own service moves traffic, its moves are not held against the agent.

use std::time::Duration;

use pitcrew_rehearsal::interruption::Action;
use pitcrew_rehearsal::lifecycle::LifecycleEvent;
use pitcrew_rehearsal::rehearsal::chaos::{Plan, Turn, What};
use pitcrew_rehearsal::rehearsal::{Options, Owner};
use pitcrew_rehearsal::verdict::Judgement;

use super::{options, rehearse};

fn deployed_by_the_service(turns: Vec<Turn>) -> Options {
    Options {
        owner: Owner::CodeDeploy,
        rate: 10,
        deregistration_delay: Duration::from_secs(20),
        chaos: Some(Plan { turns }),
        ..options(1)
    }
}

fn why(options: &Options, expectation: &str) -> String {
    let (report, timeline) = rehearse(options);
    let broken = report.findings.iter().any(|finding| finding.judgement == Judgement::Broken);
    assert!(!broken, "{:#?}\n{timeline}", report.findings);
    let finding = report.findings.iter().find(|finding| finding.expectation.contains(expectation)).unwrap();
    finding.why.clone()
}

#[test]
fn what_it_took_out_for_a_deployment_that_failed_stays_out_where_the_agent_may_not_give_it_back() {
    let fails = What::Deploy { fails_at: Some(LifecycleEvent::ValidateService) };
    let failed = Turn { at: Duration::from_secs(2), what: fails };
    let next = Turn { at: Duration::from_secs(60), what: What::Deploy { fails_at: None } };
    let back = |return_blocked, turns| {
        let settings = format!("deployment.return_blocked = {return_blocked}");
        why(&Options { settings, ..deployed_by_the_service(turns) }, "healthy means back")
    };
    let all_back = "every instance is healthy in every place that it had";
    assert_eq!(back(false, vec![failed]), "instance 1 stays out: CodeDeploy took it out, for a deployment that failed");
    assert_eq!(back(false, vec![failed, next]), all_back, "CodeDeploy's own AllowTraffic");
    assert_eq!(back(true, vec![failed]), all_back);
}

/// Whether CodeDeploy puts the instance back so shortly before its end that nobody can take it out again.
fn is_put_back_at_the_end(action: Action, notice: Duration, at: Duration) -> bool {
    let what = What::Notice { instance: 1, action, notice, withdrawn_after: None };
    let deploys = Turn { at: Duration::from_secs(2), what: What::Deploy { fails_at: None } };
    why(&deployed_by_the_service(vec![deploys, Turn { at, what }]), "out of every balancer")
        .contains("CodeDeploy put instance 1 back")
}

#[test]
fn what_it_puts_back_right_before_the_end_nobody_can_take_out_again() {
    let mut moments = (16..24).map(|halves| Duration::from_millis(500 * halves));
    let put_back = moments.any(|at| is_put_back_at_the_end(Action::Terminate, Duration::from_secs(20), at));
    assert!(put_back, "no notice came so that the end comes right after AllowTraffic");
}

#[test]
fn a_group_that_waits_for_the_instance_does_not_end_it_right_after_allow_traffic() {
    for at in (10..44).step_by(2).map(Duration::from_secs) {
        assert!(!is_put_back_at_the_end(Action::AutoScaling, Duration::from_secs(100), at), "noticed at {at:?}");
    }
}
