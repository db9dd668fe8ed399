//! Compares what balancers take their time for with what a deployment waits for.

use std::collections::BTreeMap;
use std::time::Duration;

use pitcrew_core::time::Spoken;
use pitcrew_core::wire::Owner;

use super::{Line, Membership, Patience};
use crate::effect::balancer::HealthCheck;

const NAME: &str = "health check";

/// What each of CodeDeploy's own steps takes where the health check is AWS's default: 5 good answers, 30 s apart.
const BY_DEFAULT: Duration = Duration::from_secs(180);

/// Whether every group calls a target healthy, and lets one go, within what `owner` waits.
pub(super) fn health_check(groups: Option<&BTreeMap<String, Membership>>, patience: Patience, owner: Owner) -> Line {
    let Some(groups) = groups.filter(|groups| !groups.is_empty()) else {
        return Line::ok(NAME, "waits for the target groups to be known");
    };
    match owner {
        Owner::Pitcrew | Owner::Elastigroup => for_pitcrew(groups, patience),
        Owner::CodeDeploy => for_codedeploy(groups),
    }
}

fn for_pitcrew(groups: &BTreeMap<String, Membership>, patience: Patience) -> Line {
    let healthy_after = |group: &Membership| group.check.healthy_after();
    if let Some((name, group)) = groups.iter().find(|(_, group)| healthy_after(group) >= patience.back) {
        let (after, within) = (Spoken(healthy_after(group)), Spoken(patience.back));
        return Line::failed(
            NAME,
            format!("{name} calls a target healthy after {after} at the earliest, and a return may take {within}"),
            format!("{}; or set [return] within in /etc/pitcrew/config.d", check_more_often(name)),
        );
    }
    if let Some((name, group)) = groups.iter().find(|(_, group)| group.drains_for >= patience.hook) {
        let (drains, waits) = (Spoken(group.drains_for), Spoken(patience.hook));
        return Line::failed(
            NAME,
            format!("{name} may drain a target for {drains}, and a hook waits no longer than {waits}"),
            format!(
                "aws elbv2 modify-target-group-attributes --target-group-arn ARN --attributes \
                 Key=deregistration_delay.timeout_seconds,Value=300 (of {name}); or set [deployment] hook_timeout, and \
                 the shims' timeout in appspec.yml"
            ),
        );
    }
    let slowest = groups.values().map(healthy_after).max().unwrap_or_default();
    Line::ok(NAME, format!("a target is healthy after {}, which a hook waits for", Spoken(slowest)))
}

/// CodeDeploy waits an hour, longer than any health check takes: what it costs is time out of service.
fn for_codedeploy(groups: &BTreeMap<String, Membership>) -> Line {
    let slowest = groups.iter().map(|(name, group)| (codedeploy_takes(group.check), name)).max();
    let (takes, name) = slowest.map_or((Duration::ZERO, ""), |(takes, name)| (takes, name.as_str()));
    let why = format!(
        "CodeDeploy takes about {} to take a target out of {name}, and as long to bring it back",
        Spoken(takes)
    );
    match takes > BY_DEFAULT {
        true => Line::warning(NAME, why, check_more_often(name)),
        false => Line::ok(NAME, why),
    }
}

/// What CodeDeploy's BlockTraffic takes, and its AllowTraffic again, beside the deregistration delay.
fn codedeploy_takes(check: HealthCheck) -> Duration {
    check.healthy_after() + check.interval
}

fn check_more_often(group: &str) -> String {
    format!(
        "aws elbv2 modify-target-group --target-group-arn ARN --health-check-interval-seconds 10 \
         --healthy-threshold-count 2 (of {group})"
    )
}

/// How long the slowest group drains a target at the most; `None`: no group is known.
pub(super) fn longest_drain(groups: &BTreeMap<String, Membership>) -> Option<Duration> {
    groups.values().map(|group| group.drains_for).max()
}

/// How long the slowest group needs at the least until it calls a target healthy.
pub(super) fn longest_return(groups: &BTreeMap<String, Membership>) -> Option<Duration> {
    groups.values().map(|group| group.check.healthy_after()).max()
}
