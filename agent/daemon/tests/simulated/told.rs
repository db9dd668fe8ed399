//! What AWS services are told about an instance, unasked, while it is deployed to.

use std::time::Duration;

use pitcrew_rehearsal::lifecycle::LifecycleEvent;
use pitcrew_rehearsal::rehearsal::Options;
use pitcrew_rehearsal::verdict::Report;
use pitcrew_rehearsal::world::calls::Caller;

use super::{options, rehearse};

/// When agents made the call, all of which succeeded.
fn told(report: &Report, action: &str) -> Vec<Duration> {
    let calls = report.calls.iter().filter(|call| call.action == action && matches!(call.caller, Caller::Instance(_)));
    calls.inspect(|call| assert_eq!(call.status, 200, "{call:?}")).map(|call| call.at).collect()
}

#[test]
fn cloudwatch_is_told_every_period_where_that_is_asked_for() {
    let (quiet, _) = rehearse(&options(1));
    assert!(told(&quiet, "PutMetricData").is_empty());
    let settings = "[cloudwatch]\nnamespace = \"Pitcrew\"\nperiod = \"5s\"\n".to_owned();
    let (report, timeline) = rehearse(&Options { settings, ..options(1) });
    assert!(report.passed, "{timeline}");
    let told = told(&report, "PutMetricData");
    assert!(told.len() >= 4, "{told:?}");
    assert!(told.windows(2).all(|pair| (pair[1] - pair[0]).abs_diff(Duration::from_secs(5)) < Duration::from_secs(1)));
}

#[test]
fn a_group_is_told_of_an_instance_that_a_deployment_left_broken() {
    let settings = "[autoscaling]\nreport_unhealthy_after = \"3s\"\n".to_owned();
    let (well, _) = rehearse(&Options { settings: settings.clone(), ..options(1) });
    assert!(told(&well, "SetInstanceHealth").is_empty(), "a deployment explains that the application is down");
    let broken = Options { settings, fail_at: Some(LifecycleEvent::ApplicationStart), ..options(1) };
    let (report, timeline) = rehearse(&broken);
    assert_eq!(told(&report, "SetInstanceHealth").len(), 1, "{timeline}");
}
