//! Target groups, and how this instance stands in them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::TargetGroupArn;

/// A target group's facts that do not change while a deployment runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupFacts {
    /// Its ARN.
    pub arn: TargetGroupArn,
    /// `deregistration_delay.timeout_seconds`.
    pub deregistration_delay: Duration,
}

/// One registration of this instance in a target group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// The registered id: this instance's id, or its address where the group's targets are of type `ip`.
    pub id: String,
    /// The port that traffic comes to.
    pub port: u16,
    /// Only where the API takes one back (`ip` targets outside the VPC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// What `DescribeTargetHealth` said of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// This instance's registrations and how each stands. Absent: not registered.
    pub own: BTreeMap<Target, TargetState>,
    /// Other targets that are registered (not draining).
    pub peers: usize,
    /// Of those, the healthy ones.
    pub healthy_peers: usize,
}

impl Observation {
    /// This instance's registrations: healthy or not, but not on their way out.
    pub fn registered(&self) -> impl Iterator<Item = &Target> {
        self.own.iter().filter(|(_, state)| state.is_registered()).map(|(target, _)| target)
    }
}

/// A target's state in the balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetState {
    /// Registered; the balancer has not made up its mind.
    Initial,
    /// In service.
    Healthy,
    /// Registered; fails the balancer's checks. With the balancer's reason.
    Unhealthy(String),
    /// Deregistered; what is in flight may finish.
    Draining,
    /// Registered, but no listener or zone sends traffic here: waiting for healthy never ends.
    NotInUse,
    /// Registered, but health checks are off or the balancer cannot tell.
    Unavailable(String),
    /// A word that this version does not know; neither an error nor a state to act on.
    Unknown(String),
}

impl TargetState {
    /// Whether the balancer may send new requests, now or soon, unless it is told otherwise.
    pub fn is_registered(&self) -> bool {
        match self {
            TargetState::Initial
            | TargetState::Healthy
            | TargetState::Unhealthy(_)
            | TargetState::NotInUse
            | TargetState::Unavailable(_)
            | TargetState::Unknown(_) => true,
            TargetState::Draining => false,
        }
    }
}

impl fmt::Display for TargetState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetState::Initial => f.write_str("initial"),
            TargetState::Healthy => f.write_str("healthy"),
            TargetState::Unhealthy(reason) => write!(f, "unhealthy ({reason})"),
            TargetState::Draining => f.write_str("draining"),
            TargetState::NotInUse => f.write_str("not in use"),
            TargetState::Unavailable(reason) => write!(f, "unavailable ({reason})"),
            TargetState::Unknown(word) => write!(f, "unknown state `{word}`"),
        }
    }
}
