//! Compares what balancers take their time for with what hooks wait for.

use std::collections::BTreeMap;

use pitcrew_core::time::Spoken;

use super::{Line, Membership, Patience};

const NAME: &str = "health check";

/// Whether every group calls a target healthy, and lets one go, within what a hook waits.
pub(super) fn health_check(groups: Option<&BTreeMap<String, Membership>>, patience: Patience) -> Line {
    let Some(groups) = groups.filter(|groups| !groups.is_empty()) else {
        return Line::ok(NAME, "waits for the target groups to be known");
    };
    let healthy_after = |group: &Membership| group.check.healthy_after();
    if let Some((name, group)) = groups.iter().find(|(_, group)| healthy_after(group) >= patience.back) {
        let (after, within) = (Spoken(healthy_after(group)), Spoken(patience.back));
        return Line::failed(
            NAME,
            format!("{name} calls a target healthy after {after} at the earliest, and a return may take {within}"),
            format!(
                "aws elbv2 modify-target-group --target-group-arn ARN --health-check-interval-seconds 10 \
                 --healthy-threshold-count 2 (of {name}); or set [return] within in /etc/pitcrew/config.d"
            ),
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
