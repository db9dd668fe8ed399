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

#[test]
fn what_it_puts_back_right_before_the_end_nobody_can_take_out_again() {
    let notice = Duration::from_secs(100);
    let put_back = (28..44).filter(|at| {
        let action = Action::AutoScaling;
        let what = What::Notice { instance: 1, action, notice, withdrawn_after: None };
        let leaves = Turn { at: Duration::from_secs(*at), what };
        let deploys = Turn { at: Duration::from_secs(2), what: What::Deploy { fails_at: None } };
        why(&deployed_by_the_service(vec![deploys, leaves]), "out of every balancer")
            .contains("CodeDeploy put instance 1 back")
    });
    assert!(put_back.count() > 0, "no notice came right before AllowTraffic");
}
