//! `DescribeTargetHealth`: the balancer's words for a target, and what they mean to us.

use std::net::IpAddr;

use pitcrew_core::ids::TargetGroupArn;
use pitcrew_core::wire::{Failure, Observation, Target, TargetState};

use super::{Api, Asked, OwnIds, named};

/// One of a group's targets, as the balancer lists it.
pub(super) struct Listed {
    /// An instance's id or an address.
    pub(super) id: String,
    /// `None`: not registered.
    pub(super) state: Option<TargetState>,
    port: Option<u16>,
    zone: Option<String>,
}

pub(super) async fn observe(api: &Api, own: &OwnIds, group: &TargetGroupArn) -> Result<Observation, Failure> {
    let mut observation = Observation::default();
    for listed in describe(api, group).await? {
        let own = own.holds(&listed.id);
        let Some(state) = listed.state.clone() else {
            continue;
        };
        if own {
            if let Some(target) = listed.target() {
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
pub(super) async fn describe(api: &Api, group: &TargetGroupArn) -> Result<Vec<Listed>, Failure> {
    let permission = "elasticloadbalancing:DescribeTargetHealth";
    let asked = Asked { permission, object: &named(group), resource: "*" };
    let answer = api.call(&asked, &[("TargetGroupArn", group.as_str())]).await?;
    let facts = ["Target/Id", "Target/Port", "Target/AvailabilityZone", "TargetHealth/State", "TargetHealth/Reason"];
    let listed = answer.members("TargetHealthDescriptions", facts)?;
    let listed = listed.into_iter().map(|[id, port, zone, word, reason]| Listed {
        state: state(&word, &reason),
        port: port.parse().ok(),
        zone: Some(zone).filter(|zone| !zone.is_empty()),
        id,
    });
    Ok(listed.collect())
}

/// `None`: not registered.
fn state(word: &str, reason: &str) -> Option<TargetState> {
    let state = match (word, reason) {
        ("initial", _) => TargetState::Initial,
        ("healthy", _) => TargetState::Healthy,
        ("unhealthy", _) => TargetState::Unhealthy(reason.to_owned()),
        ("unhealthy.draining", _) => TargetState::Unhealthy("unhealthy.draining".to_owned()),
        ("draining", _) => TargetState::Draining,
        ("unavailable", _) => TargetState::Unavailable(reason.to_owned()),
        ("unused", "Target.NotRegistered") => return None,
        ("unused", "Target.NotInUse") => TargetState::NotInUse,
        ("unused", _) => TargetState::Unknown(format!("unused, {reason}")),
        (other, _) => TargetState::Unknown(other.to_owned()),
    };
    Some(state)
}

impl Listed {
    /// The registration as it must be given back: a zone goes with an address only.
    fn target(self) -> Option<Target> {
        let zone = self.zone.filter(|_| self.id.parse::<IpAddr>().is_ok());
        Some(Target { port: self.port?, id: self.id, zone })
    }
}
