//! What a target group checks its targets by, and how long it takes until it has made up its mind.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::Client;
use pitcrew_core::ids::TargetGroupArn;
use pitcrew_core::wire::{Failure, TargetState};

use super::{Asked, health, named};

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
const INTERVAL: i32 = 30;
const THRESHOLD: i32 = 5;

/// From `DescribeTargetGroups`.
pub(super) async fn of(client: &Client, group: &TargetGroupArn) -> Result<HealthCheck, Failure> {
    let asked = Asked { permission: "elasticloadbalancing:DescribeTargetGroups", object: &named(group), resource: "*" };
    let answer = client.describe_target_groups().target_group_arns(group.as_str()).send().await;
    let answer = answer.map_err(|error| asked.explain(&error))?;
    let described = answer.target_groups().first();
    let or = |value: Option<i32>, default: i32| u32::try_from(value.unwrap_or(default)).unwrap_or_default();
    let seconds = or(described.and_then(|group| group.health_check_interval_seconds()), INTERVAL);
    Ok(HealthCheck {
        interval: Duration::from_secs(seconds.into()),
        healthy_threshold: or(described.and_then(|group| group.healthy_threshold_count()), THRESHOLD),
    })
}

/// Everybody who is registered in the group, by id or address, from `DescribeTargetHealth`.
pub(super) async fn members(client: &Client, group: &TargetGroupArn) -> Result<BTreeSet<String>, Failure> {
    let listed = health::describe(client, group).await?;
    let registered = listed.iter().filter_map(|listed| {
        let state = health::state(listed.target_health()?)?;
        let id = listed.target()?.id()?;
        TargetState::is_registered(&state).then(|| id.to_owned())
    });
    Ok(registered.collect())
}
