//! What a target group checks its targets by, and how long it takes until it has made up its mind.

use std::collections::BTreeSet;
use std::time::Duration;

use pitcrew_core::ids::TargetGroupArn;
use pitcrew_core::wire::{Failure, TargetState};

use super::{Api, Asked, health, named};

/// A target group's health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// From one check to the next.
    pub interval: Duration,
    /// So many good answers in a row make a target healthy.
    pub healthy_threshold: u32,
}

impl HealthCheck {
    /// How long it takes at the least until a target that was just registered, and is well, is called healthy.
    pub fn healthy_after(self) -> Duration {
        self.interval * self.healthy_threshold
    }
}

/// AWS's defaults, where the group says nothing of its own.
const INTERVAL: u64 = 30;
const THRESHOLD: u32 = 5;

/// From `DescribeTargetGroups`.
pub(super) async fn of(api: &Api, group: &TargetGroupArn) -> Result<HealthCheck, Failure> {
    let asked = Asked { permission: "elasticloadbalancing:DescribeTargetGroups", object: &named(group), resource: "*" };
    let answer = api.call(&asked, &[("TargetGroupArns.member.1", group.as_str())]).await?;
    let described = answer.members("TargetGroups", ["HealthCheckIntervalSeconds", "HealthyThresholdCount"])?;
    let [interval, threshold] = described.into_iter().next().unwrap_or_default();
    Ok(HealthCheck {
        interval: Duration::from_secs(interval.parse().unwrap_or(INTERVAL)),
        healthy_threshold: threshold.parse().unwrap_or(THRESHOLD),
    })
}

/// Everybody who is registered in the group, by id or address, from `DescribeTargetHealth`.
pub(super) async fn members(api: &Api, group: &TargetGroupArn) -> Result<BTreeSet<String>, Failure> {
    let listed = health::describe(api, group).await?;
    let registered = listed.into_iter().filter(|listed| listed.state.as_ref().is_some_and(TargetState::is_registered));
    Ok(registered.map(|listed| listed.id).filter(|id| !id.is_empty()).collect())
}
