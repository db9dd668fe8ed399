//! Elastic Load Balancing (target groups): who is in them, and moving this instance out and in.

mod check;
mod discovery;
mod health;

use std::collections::BTreeSet;
use std::sync::OnceLock;

use aws_config::SdkConfig;
use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::TargetDescription;
use pitcrew_core::ids::{InstanceId, TargetGroupArn};
use pitcrew_core::wire::{Failure, GroupFacts, Observation, Target};

use super::failure::Asked;

pub use check::HealthCheck;

/// Calls load balancing on behalf of one instance.
pub struct Balancer {
    config: SdkConfig,
    client: OnceLock<Client>,
    own: OwnIds,
}

/// What targets of this instance are called: its id, or its address where the group's targets are of type `ip`.
struct OwnIds {
    instance: InstanceId,
    address: Option<String>,
}

impl OwnIds {
    fn holds(&self, id: &str) -> bool {
        id == self.instance.as_str() || self.address.as_deref() == Some(id)
    }
}

impl Balancer {
    /// For the instance of this id and private address; connects to nothing yet.
    pub fn new(config: SdkConfig, instance: InstanceId, private_address: Option<String>) -> Self {
        Self { config, client: OnceLock::new(), own: OwnIds { instance, address: private_address } }
    }

    /// The target groups to look after: the `wanted` ones, by name or ARN, or where none is wanted every group of the
    /// region that holds this instance, draining included. Sorted by ARN.
    ///
    /// From `DescribeTargetGroups`, `DescribeTargetHealth` and `DescribeTargetGroupAttributes`. Fails as a whole: with
    /// `NotFound` where a wanted group does not exist, with `Invalid` where its targets cannot be instances.
    pub async fn discover(&self, wanted: &[String]) -> Result<Vec<GroupFacts>, Failure> {
        discovery::discover(self.client(), &self.own, wanted).await
    }

    /// This instance's targets in the group, with their ports, and how its peers stand, from `DescribeTargetHealth`.
    pub async fn observe(&self, group: &TargetGroupArn) -> Result<Observation, Failure> {
        health::observe(self.client(), &self.own, group).await
    }

    /// How a group checks its targets, from `DescribeTargetGroups`.
    pub async fn health_check(&self, group: &TargetGroupArn) -> Result<HealthCheck, Failure> {
        check::of(self.client(), group).await
    }

    /// Everybody who is registered in a group, by id or address, from `DescribeTargetHealth`.
    pub async fn members(&self, group: &TargetGroupArn) -> Result<BTreeSet<String>, Failure> {
        check::members(self.client(), group).await
    }

    /// Registers `targets` as they are given, from `RegisterTargets`.
    pub async fn register(&self, group: &TargetGroupArn, targets: &[Target]) -> Result<(), Failure> {
        if targets.is_empty() {
            return Ok(());
        }
        let request = self
            .client()
            .register_targets()
            .target_group_arn(group.as_str())
            .set_targets(Some(targets.iter().map(describe).collect()));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(changing("elasticloadbalancing:RegisterTargets", group, &error)),
        }
    }

    /// Deregisters `targets`, from `DeregisterTargets`; one that is not registered is deregistered already.
    pub async fn deregister(&self, group: &TargetGroupArn, targets: &[Target]) -> Result<(), Failure> {
        if targets.is_empty() {
            return Ok(());
        }
        let request = self
            .client()
            .deregister_targets()
            .target_group_arn(group.as_str())
            .set_targets(Some(targets.iter().map(describe).collect()));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(changing("elasticloadbalancing:DeregisterTargets", group, &error)),
        }
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| Client::new(&self.config))
    }
}

/// A port that overrides the group's default must be given again to take the target out.
fn describe(target: &Target) -> TargetDescription {
    TargetDescription::builder()
        .id(&target.id)
        .port(i32::from(target.port))
        .set_availability_zone(target.zone.clone())
        .build()
}

fn changing<E>(permission: &'static str, group: &TargetGroupArn, error: &SdkFailure<E>) -> Failure
where
    E: aws_smithy_types::error::metadata::ProvideErrorMetadata + std::error::Error + 'static,
{
    let asked = Asked { permission, object: &named(group), resource: group.as_str() };
    asked.explain(error)
}

type SdkFailure<E> =
    aws_smithy_runtime_api::client::result::SdkError<E, aws_smithy_runtime_api::client::orchestrator::HttpResponse>;

fn named(group: &TargetGroupArn) -> String {
    format!("target group `{}`", group.short())
}
