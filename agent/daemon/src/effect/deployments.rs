//! CodeDeploy: who moves a deployment group's traffic, and how a deployment stands on this instance.

use std::sync::OnceLock;

use aws_config::SdkConfig;
use aws_sdk_codedeploy::Client;
use aws_sdk_codedeploy::types::{DeploymentStatus, DeploymentTarget, TargetStatus};
use pitcrew_core::ids::{DeploymentGroup, DeploymentId, InstanceId};
use pitcrew_core::wire::{DeploymentState, Failure, FailureKind, Owner};

use super::failure::Asked;
use super::groups::Group;

/// Asks CodeDeploy on behalf of one instance.
pub struct Deployments {
    config: SdkConfig,
    client: OnceLock<Client>,
    instance: InstanceId,
}

impl Deployments {
    /// For the instance of this id; connects to nothing yet.
    pub fn new(config: SdkConfig, instance: InstanceId) -> Self {
        Self { config, client: OnceLock::new(), instance }
    }

    /// Who moves the group's traffic, from `GetDeploymentGroup`: CodeDeploy where the group's style is with traffic
    /// control and names a load balancer, else this agent.
    pub async fn owner(&self, group: &DeploymentGroup) -> Result<Owner, Failure> {
        Ok(self.group(group).await?.owner)
    }

    /// The group, from `GetDeploymentGroup`. Fails with `NotFound` where there is none of this name.
    pub async fn group(&self, group: &DeploymentGroup) -> Result<Group, Failure> {
        let asked = Asked {
            permission: "codedeploy:GetDeploymentGroup",
            object: &format!("deployment group `{group}`"),
            resource: "the deployment group",
        };
        let request = self.client().get_deployment_group();
        let request = request.application_name(&group.application).deployment_group_name(&group.name);
        let answer = request.send().await.map_err(|error| asked.explain(&error))?;
        answer.deployment_group_info().map(Group::of).ok_or_else(|| asked.unanswered("the answer describes no group"))
    }

    /// What questions about deployments would come to, each with the permission that it needs: asked about one that
    /// there cannot be.
    pub async fn questions(&self) -> [(&'static str, Result<(), Failure>); 2] {
        let nobody = DeploymentId::new("d-000000000");
        let allowed = |failure: Failure| match failure.kind {
            FailureKind::NotFound | FailureKind::Invalid => Ok(()),
            FailureKind::Denied | FailureKind::Throttled | FailureKind::Unavailable => Err(failure),
        };
        let target = self.on_this_instance(&nobody).await.map(drop).or_else(allowed);
        let whole = self.as_a_whole(&nobody).await.map(drop).or_else(allowed);
        [("codedeploy:GetDeploymentTarget", target), ("codedeploy:GetDeployment", whole)]
    }

    /// The latest deployments of a group, newest first, and how each stands.
    pub async fn latest(&self, group: &DeploymentGroup, at_most: usize) -> Result<Vec<Latest>, Failure> {
        let asked = Asked {
            permission: "codedeploy:ListDeployments",
            object: &format!("deployment group `{group}`"),
            resource: "the deployment group",
        };
        let request = self.client().list_deployments();
        let request = request.application_name(&group.application).deployment_group_name(&group.name);
        let answer = request.send().await.map_err(|error| asked.explain(&error))?;
        let mut latest = Vec::new();
        for id in answer.deployments().iter().take(at_most) {
            let asked = Asked {
                permission: "codedeploy:GetDeployment",
                object: &format!("deployment `{id}`"),
                resource: "its deployment group",
            };
            let answer = self.client().get_deployment().deployment_id(id).send().await;
            let answer = answer.map_err(|error| asked.explain(&error))?;
            let info = answer.deployment_info();
            latest.push(Latest {
                id: id.clone(),
                status: info.and_then(|info| info.status()).map_or_else(String::new, ToString::to_string),
                error: info.and_then(|info| info.error_information()?.message()).map(str::to_owned),
            });
        }
        Ok(latest)
    }

    /// How the deployment stands on this instance, from `GetDeploymentTarget`; where that knows nothing of its end,
    /// how the deployment stands as a whole, from `GetDeployment`. One that CodeDeploy does not know at all has failed.
    pub async fn state(&self, deployment: &DeploymentId) -> Result<DeploymentState, Failure> {
        let here = match self.on_this_instance(deployment).await {
            Err(failure) if failure.kind == FailureKind::NotFound => None,
            here => here?,
        };
        match here {
            Some(state @ (DeploymentState::Succeeded | DeploymentState::Failed)) => Ok(state),
            // An instance may be said to be in progress for ever once its deployment was stopped.
            Some(DeploymentState::Running) => match self.as_a_whole(deployment).await? {
                DeploymentState::Failed => Ok(DeploymentState::Failed),
                DeploymentState::Running | DeploymentState::Succeeded => Ok(DeploymentState::Running),
            },
            None => match self.as_a_whole(deployment).await {
                Err(failure) if failure.kind == FailureKind::NotFound => Ok(DeploymentState::Failed),
                whole => whole,
            },
        }
    }

    /// `None`: CodeDeploy cannot tell.
    async fn on_this_instance(&self, deployment: &DeploymentId) -> Result<Option<DeploymentState>, Failure> {
        let request =
            self.client().get_deployment_target().deployment_id(deployment.as_str()).target_id(self.instance.as_str());
        let answer = request.send().await.map_err(|error| {
            let asked = Asked {
                permission: "codedeploy:GetDeploymentTarget",
                object: &format!("deployment `{deployment}`"),
                resource: "its deployment group",
            };
            asked.explain(&error)
        })?;
        let status =
            answer.deployment_target().and_then(DeploymentTarget::instance_target).and_then(|target| target.status());
        Ok(match status {
            Some(TargetStatus::Pending | TargetStatus::InProgress | TargetStatus::Ready) => {
                Some(DeploymentState::Running)
            }
            Some(TargetStatus::Succeeded) => Some(DeploymentState::Succeeded),
            Some(TargetStatus::Failed | TargetStatus::Skipped) => Some(DeploymentState::Failed),
            Some(_) | None => None,
        })
    }

    async fn as_a_whole(&self, deployment: &DeploymentId) -> Result<DeploymentState, Failure> {
        let request = self.client().get_deployment();
        let answer = request.deployment_id(deployment.as_str()).send().await;
        let answer = answer.map_err(|error| {
            let asked = Asked {
                permission: "codedeploy:GetDeployment",
                object: &format!("deployment `{deployment}`"),
                resource: "its deployment group",
            };
            asked.explain(&error)
        })?;
        let status = answer.deployment_info().and_then(|info| info.status());
        match status {
            Some(DeploymentStatus::Succeeded) => Ok(DeploymentState::Succeeded),
            Some(DeploymentStatus::Failed | DeploymentStatus::Stopped) => Ok(DeploymentState::Failed),
            // Created, queued, in progress, baking, ready; and any word of tomorrow: not known to be over.
            Some(_) => Ok(DeploymentState::Running),
            None => Err(Failure {
                kind: FailureKind::Unavailable,
                sentence: format!("CodeDeploy does not say how deployment `{deployment}` stands"),
            }),
        }
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| Client::new(&self.config))
    }
}

/// One deployment of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latest {
    /// Its id.
    pub id: String,
    /// CodeDeploy's word for how it stands.
    pub status: String,
    /// Why it failed, where it did.
    pub error: Option<String>,
}
