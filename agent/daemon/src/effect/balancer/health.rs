//! `DescribeTargetHealth`: the balancer's words for a target, and what they mean to us.

use std::net::IpAddr;

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::{
    TargetDescription, TargetHealth, TargetHealthDescription, TargetHealthReasonEnum as Reason,
    TargetHealthStateEnum as State,
};
use pitcrew_core::ids::TargetGroupArn;
use pitcrew_core::wire::{Failure, Observation, Target, TargetState};

use super::{Asked, OwnIds, named};

pub(super) async fn observe(client: &Client, own: &OwnIds, group: &TargetGroupArn) -> Result<Observation, Failure> {
    let mut observation = Observation::default();
    for listed in describe(client, group).await? {
        let (Some(target), Some(health)) = (listed.target(), listed.target_health()) else {
            continue;
        };
        let Some(state) = state(health) else {
            continue;
        };
        if own.holds(target.id().unwrap_or_default()) {
            if let Some(target) = own_target(target) {
                observation.own.insert(target, state);
            }
        } else if state.is_registered() {
            observation.peers += 1;
            observation.healthy_peers += usize::from(state == TargetState::Healthy);
        }
    }
    Ok(observation)
}

/// Asked without naming targets: only so does the balancer list every port, and the peers.
pub(super) async fn describe(client: &Client, group: &TargetGroupArn) -> Result<Vec<TargetHealthDescription>, Failure> {
    let request = client.describe_target_health();
    match request.target_group_arn(group.as_str()).send().await {
        Ok(answer) => Ok(answer.target_health_descriptions.unwrap_or_default()),
        Err(error) => {
            let asked =
                Asked { permission: "elasticloadbalancing:DescribeTargetHealth", object: &named(group), resource: "*" };
            Err(asked.explain(&error))
        }
    }
}

/// `None`: not registered.
pub(super) fn state(health: &TargetHealth) -> Option<TargetState> {
    let reason = health.reason().map(Reason::as_str).unwrap_or_default();
    let state = match health.state() {
        Some(State::Initial) => TargetState::Initial,
        Some(State::Healthy) => TargetState::Healthy,
        Some(State::Unhealthy) => TargetState::Unhealthy(reason.to_owned()),
        Some(State::UnhealthyDraining) => TargetState::Unhealthy("unhealthy.draining".to_owned()),
        Some(State::Draining) => TargetState::Draining,
        Some(State::Unavailable) => TargetState::Unavailable(reason.to_owned()),
        Some(State::Unused) => match health.reason() {
            Some(Reason::NotRegistered) => return None,
            Some(Reason::NotInUse) => TargetState::NotInUse,
            _ => TargetState::Unknown(format!("unused, {reason}")),
        },
        Some(other) => TargetState::Unknown(other.as_str().to_owned()),
        None => TargetState::Unknown(String::new()),
    };
    Some(state)
}

/// The registration as it must be given back: a zone goes with an address only.
fn own_target(target: &TargetDescription) -> Option<Target> {
    let id = target.id()?;
    let port = u16::try_from(target.port()?).ok()?;
    let zone = match id.parse::<IpAddr>() {
        Ok(_) => target.availability_zone().map(str::to_owned),
        Err(_) => None,
    };
    Some(Target { id: id.to_owned(), port, zone })
}
