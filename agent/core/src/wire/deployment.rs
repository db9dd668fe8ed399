//! What CodeDeploy says of deployments and their groups.

use serde::{Deserialize, Serialize};

/// Who moves a deployment group's traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// This agent, on behalf of the deployment.
    Pitcrew,
    /// CodeDeploy itself, by its BlockTraffic and AllowTraffic events.
    CodeDeploy,
    /// This agent, by Elastigroup's standby.
    Elastigroup,
}

impl Owner {
    /// Whether this agent moves traffic, by itself or by others, on behalf of the deployment.
    pub fn is_here(self) -> bool {
        match self {
            Owner::Pitcrew | Owner::Elastigroup => true,
            Owner::CodeDeploy => false,
        }
    }
}

/// How a deployment stands on this instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeploymentState {
    /// Not over.
    Running,
    /// Over, and well.
    Succeeded,
    /// Over: failed, stopped, skipped, or unknown to CodeDeploy.
    Failed,
}
