//! Elastic Load Balancing (target groups): who is in them, and moving this instance out and in.

mod check;
mod discovery;
mod health;

use std::collections::BTreeSet;

use aws_config::SdkConfig;
use pitcrew_core::ids::{InstanceId, TargetGroupArn};
use pitcrew_core::wire::{Failure, GroupFacts, Observation, Target};

use super::aws::Doors;
use super::failure::Asked;
use super::query::{Answer, Service};

pub use check::HealthCheck;

/// The API's version.
const VERSION: &str = "2015-12-01";

/// Calls load balancing on behalf of one instance.
pub struct Balancer {
    api: Api,
    own: OwnIds,
}

/// What targets of this instance are called: its id, or its address where the group's targets are of type `ip`.
pub struct OwnIds {
    /// `i-…`.
    pub instance: InstanceId,
    /// Its private address, where that is known.
    pub address: Option<String>,
}

impl OwnIds {
    fn holds(&self, id: &str) -> bool {
        id == self.instance.as_str() || self.address.as_deref() == Some(id)
    }
}

/// The service itself, without its SDK.
struct Api(Service);

impl Api {
    async fn call<'a>(&self, asked: &'a Asked<'a>, parameters: &[(&str, &str)]) -> Result<Answer<'a>, Failure> {
        self.0.call(VERSION, asked, parameters).await
    }
}

impl Balancer {
    /// For the instance that is called so; `domain` is `amazonaws.com`, or a partition's own. Connects to nothing yet.
    pub fn new(config: SdkConfig, doors: Doors, own: OwnIds, domain: &str) -> Self {
        let (name, id) = ("elasticloadbalancing", "Elastic Load Balancing v2");
        Self { api: Api(Service { config, doors, name, id, domain: domain.to_owned() }), own }
    }

    /// The target groups to look after: the `wanted` ones, by name or ARN, or where none is wanted every group of the
    /// region that holds this instance, draining included. Sorted by ARN.
    ///
    /// From `DescribeTargetGroups`, `DescribeTargetHealth` and `DescribeTargetGroupAttributes`. Fails as a whole: with
    /// `NotFound` where a wanted group does not exist, with `Invalid` where its targets cannot be instances.
    pub async fn discover(&self, wanted: &[String]) -> Result<Vec<GroupFacts>, Failure> {
        discovery::discover(&self.api, &self.own, wanted).await
    }

    /// This instance's targets in the group, with their ports, and how its peers stand, from `DescribeTargetHealth`.
    pub async fn observe(&self, group: &TargetGroupArn) -> Result<Observation, Failure> {
        health::observe(&self.api, &self.own, group).await
    }

    /// How a group checks its targets, from `DescribeTargetGroups`.
    pub async fn health_check(&self, group: &TargetGroupArn) -> Result<HealthCheck, Failure> {
        check::of(&self.api, group).await
    }

    /// Everybody who is registered in a group, by id or address, from `DescribeTargetHealth`.
    pub async fn members(&self, group: &TargetGroupArn) -> Result<BTreeSet<String>, Failure> {
        check::members(&self.api, group).await
    }

    /// Registers `targets` as they are given, from `RegisterTargets`.
    pub async fn register(&self, group: &TargetGroupArn, targets: &[Target]) -> Result<(), Failure> {
        self.change("elasticloadbalancing:RegisterTargets", group, targets).await
    }

    /// Deregisters `targets`, from `DeregisterTargets`; one that is not registered is deregistered already.
    pub async fn deregister(&self, group: &TargetGroupArn, targets: &[Target]) -> Result<(), Failure> {
        self.change("elasticloadbalancing:DeregisterTargets", group, targets).await
    }

    async fn change(
        &self,
        permission: &'static str,
        group: &TargetGroupArn,
        targets: &[Target],
    ) -> Result<(), Failure> {
        if targets.is_empty() {
            return Ok(());
        }
        let mut call = vec![("TargetGroupArn".to_owned(), group.to_string())];
        for (number, target) in (1..).zip(targets) {
            let key = |fact: &str| format!("Targets.member.{number}.{fact}");
            call.push((key("Id"), target.id.clone()));
            // A port that overrides the group's default must be given again to take the target out.
            call.push((key("Port"), target.port.to_string()));
            call.extend(target.zone.clone().map(|zone| (key("AvailabilityZone"), zone)));
        }
        let call: Vec<_> = call.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let asked = Asked { permission, object: &named(group), resource: group.as_str() };
        self.api.call(&asked, &call).await.map(drop)
    }
}

fn named(group: &TargetGroupArn) -> String {
    format!("target group `{}`", group.short())
}
