//! What is known of an instance before anything is said about it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use pitcrew_core::ids::DeploymentGroup;
use pitcrew_core::wire::{Failure, Owner};

use super::Elastigroup;
use crate::config::Settings;
use crate::effect::balancer::HealthCheck;
use crate::effect::groups::Group;
use crate::intake::host_agents::Seen;
use crate::intake::imds::Identity;

/// An instance, as `gather` found it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Who it is, by its metadata service; an error is a sentence.
    pub identity: Result<Identity, String>,
    /// Whether its role gives credentials; an error is a sentence.
    pub credentials: Result<(), String>,
    /// Its tags; `None`: the metadata service does not show them.
    pub tags: Option<BTreeMap<String, String>>,
    /// Where deployments and memory need room.
    pub space: Vec<Space>,
    /// Whether the clock is in step with others'; `None`: nobody tells.
    pub clock_in_step: Option<bool>,
    /// The agents of AWS.
    pub agents: Seen,
    /// SSM's word for how it sees the instance (`Online`); `None`: it does not know it.
    pub ssm: Result<Option<String>, Failure>,
    /// What the resident agent says; an error is a sentence.
    pub status: Result<serde_json::Value, String>,
    /// The deployment group that this is about, and what CodeDeploy says of it.
    pub group: Option<(DeploymentGroup, Result<Group, Failure>)>,
    /// Whether the operator named it; else it is the latest that deployed here.
    pub group_named: bool,
    /// `[traffic] owner`; `None`: `auto`.
    pub owner: Option<Owner>,
    /// The target groups that hold this instance, by name.
    pub registered: Result<BTreeMap<String, Membership>, Failure>,
    /// How long the agent waits for them.
    pub patience: Patience,
    /// What Elastigroup says; `None`: no token is configured, or nobody knows who this instance is.
    pub elastigroup: Option<Elastigroup>,
    /// How many probes are configured.
    pub probes: usize,
    /// What harmless calls say of the role's permissions.
    pub permissions: Vec<Permission>,
}

/// A target group, as a deployment has to wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Its health check.
    pub check: HealthCheck,
    /// How long it drains a target at the most.
    pub drains_for: Duration,
}

/// How long the agent waits for a balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// `[return] within`.
    pub back: Duration,
    /// `[deployment] hook_timeout`.
    pub hook: Duration,
}

impl Patience {
    /// As the operator decided.
    pub fn of(settings: &Settings) -> Self {
        Self { back: settings.core.return_within, hook: settings.hook_timeout }
    }
}

/// Room in a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    /// What lies there.
    pub path: PathBuf,
    /// Bytes that are free.
    pub free: u64,
}

/// One permission, and what a harmless call that needs it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// `codedeploy:GetDeployment`.
    pub action: &'static str,
    /// What does not work without it.
    pub feature: &'static str,
    /// Whether it is there.
    pub outcome: Result<(), Failure>,
}
