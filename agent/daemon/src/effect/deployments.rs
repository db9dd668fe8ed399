//! CodeDeploy: who moves a deployment group's traffic, and how a deployment stands on this instance.

use std::sync::OnceLock;

use aws_config::SdkConfig;
use aws_sdk_codedeploy::Client;
use aws_sdk_codedeploy::types::{DeploymentOption, DeploymentStatus, DeploymentTarget, LoadBalancerInfo, TargetStatus};
use pitcrew_core::ids::{DeploymentGroup, DeploymentId, InstanceId};
use pitcrew_core::wire::{DeploymentState, Failure, FailureKind, Owner};

use super::failure::Asked;

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
        let request = self
            .client()
            .get_deployment_group()
            .application_name(&group.application)
            .deployment_group_name(&group.name);
        let answer = request.send().await.map_err(|error| {
            let asked = Asked {
                permission: "codedeploy:GetDeploymentGroup",
                object: &format!("deployment group `{group}`"),
                resource: "the deployment group",
            };
            asked.explain(&error)
        })?;
        let info = answer.deployment_group_info();
        let controlled = info
            .and_then(|info| info.deployment_style()?.deployment_option())
            .is_some_and(|option| *option == DeploymentOption::WithTrafficControl);
        let balanced = info.and_then(|info| info.load_balancer_info()).is_some_and(names_a_balancer);
        Ok(if controlled && balanced { Owner::CodeDeploy } else { Owner::Pitcrew })
    }

    /// How the deployment stands on this instance, from `GetDeploymentTarget`; where that knows nothing of the instance,
    /// how the deployment stands as a whole, from `GetDeployment`. One that CodeDeploy does not know at all has failed.
    pub async fn state(&self, deployment: &DeploymentId) -> Result<DeploymentState, Failure> {
        let here = match self.on_this_instance(deployment).await {
            Err(failure) if failure.kind == FailureKind::NotFound => None,
            here => here?,
        };
        match here {
            Some(state) => Ok(state),
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

fn names_a_balancer(info: &LoadBalancerInfo) -> bool {
    !info.elb_info_list().is_empty()
        || !info.target_group_info_list().is_empty()
        || !info.target_group_pair_info_list().is_empty()
}
