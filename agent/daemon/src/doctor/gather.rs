//! Finds out how an instance stands: reads, asks, and changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sdk_ssm::types::InstanceInformationStringFilter;
use pitcrew_core::ids::{DeploymentGroup, InstanceId};
use pitcrew_core::wire::{Failure, GroupFacts};
use serde_json::Value;

use super::{Facts, Membership, Patience, Permission, Space, elastigroup};
use crate::config::Settings;
use crate::doors::{Credentials, with_causes};
use crate::effect::failure::Asked;
use crate::effect::tags::{Owner, Tags};
use crate::effect::{AutoScaling, Balancer, Deployments, OwnIds, aws};
use crate::intake::host_agents::HostAgents;
use crate::intake::imds::{Identity, Imds};

/// Whom and what to ask.
pub struct Asking<'a> {
    /// What the operator decided.
    pub settings: &'a Settings,
    /// The metadata service.
    pub imds: &'a Arc<Imds>,
    /// AWS, with the instance's role.
    pub sdk: SdkConfig,
    /// What the SDK goes through.
    pub doors: aws::Doors,
    /// Where Elastigroup's token may be.
    pub credentials: Credentials,
    /// The agents of AWS on this host.
    pub agents: HostAgents,
    /// What the resident agent says; an error is a sentence.
    pub status: Result<Value, String>,
    /// The deployment group that the operator names; else the latest one that deployed here.
    pub group: Option<DeploymentGroup>,
    /// Room in the file systems that matter.
    pub space: Vec<Space>,
    /// Whether the clock is in step with others'.
    pub clock_in_step: Option<bool>,
}

/// Asks and reads everything.
pub async fn gather(asking: Asking<'_>) -> Facts {
    let Asking { settings, imds, sdk, doors, credentials: secrets, agents, status, group, space, clock_in_step } =
        asking;
    let identity = imds.identity().await.map_err(|trouble| with_causes(&trouble));
    let instance = identity.as_ref().map_or_else(|_| InstanceId::new("i-unknown"), |known| known.instance.clone());
    let address = identity.as_ref().ok().and_then(|known| known.private_address.clone());
    let deployments = Deployments::new(sdk.clone(), instance.clone());
    let named = group.is_some();
    let group = match group.or_else(|| latest_group(status.as_ref().ok()?)) {
        Some(group) => {
            let described = deployments.group(&group).await;
            Some((group, described))
        }
        None => None,
    };
    let mut permissions: Vec<_> = deployments
        .questions()
        .await
        .into_iter()
        .map(|(action, outcome)| Permission { action, feature: "the end of dead deployments", outcome })
        .collect();
    if let Ok(identity) = &identity {
        permissions.extend(tagging(&sdk, &doors, identity).await);
    }
    let elastigroup = elastigroup::ask(settings, identity.as_ref().ok(), &sdk, &doors, imds, secrets).await;
    let domain = identity.as_ref().map_or("amazonaws.com", |known| &known.domain);
    permissions.push(auto_scaling(&AutoScaling::new(sdk.clone(), doors.clone(), instance.clone(), domain)).await);
    let own = OwnIds { instance: instance.clone(), address };
    let balancer = Balancer::new(sdk.clone(), doors, own, domain);
    Facts {
        credentials: credentials(&sdk).await,
        tags: tags(imds).await,
        agents: agents.look(),
        ssm: ssm(&sdk, &instance).await,
        group_named: named,
        group,
        owner: settings.core.owner,
        registered: registered(&balancer, &settings.target_groups).await,
        patience: Patience::of(settings),
        elastigroup,
        probes: settings.probes.len(),
        identity,
        space,
        clock_in_step,
        status,
        permissions,
    }
}

/// The group of the latest deployment here, open or over.
fn latest_group(status: &Value) -> Option<DeploymentGroup> {
    let open = status["deployments"].as_array().and_then(|open| open.last());
    let ended = status["ended"].as_array().and_then(|ended| ended.last());
    serde_json::from_value(open.or(ended)?["group"].clone()).ok()
}

async fn credentials(sdk: &SdkConfig) -> Result<(), String> {
    let provider = sdk.credentials_provider().ok_or("nobody gives credentials")?;
    match provider.provide_credentials().await {
        Ok(_) => Ok(()),
        Err(error) => Err(with_causes(&error)),
    }
}

/// The instance's tags, where its metadata shows them.
async fn tags(imds: &Imds) -> Option<BTreeMap<String, String>> {
    const TAGS: &str = "meta-data/tags/instance";
    let text = |bytes: bytes::Bytes| String::from_utf8_lossy(&bytes).into_owned();
    let keys = imds.get(TAGS).await.ok()?.map(text)?;
    let mut tags = BTreeMap::new();
    for key in keys.lines().filter(|key| !key.is_empty()) {
        let value = imds.get(&format!("{TAGS}/{key}")).await.ok()?.map(text).unwrap_or_default();
        tags.insert(key.to_owned(), value);
    }
    Some(tags)
}

async fn registered(balancer: &Balancer, named: &[String]) -> Result<BTreeMap<String, Membership>, Failure> {
    let mut registered = BTreeMap::new();
    for group in balancer.discover(named).await? {
        let seen = balancer.observe(&group.arn).await?;
        if !seen.own.is_empty() {
            registered.insert(group.arn.short().to_owned(), membership(balancer, &group).await?);
        }
    }
    Ok(registered)
}

/// How a deployment has to wait for a group.
pub(super) async fn membership(balancer: &Balancer, group: &GroupFacts) -> Result<Membership, Failure> {
    let check = balancer.health_check(&group.arn).await?;
    Ok(Membership { check, drains_for: group.deregistration_delay })
}

/// How Systems Manager sees an instance; `None`: not at all.
pub(super) async fn ssm(sdk: &SdkConfig, instance: &InstanceId) -> Result<Option<String>, Failure> {
    let asked = Asked {
        permission: "ssm:DescribeInstanceInformation",
        object: &format!("instance `{instance}`"),
        resource: "*",
    };
    let filter = InstanceInformationStringFilter::builder().key("InstanceIds").values(instance.as_str()).build();
    let filter = filter.map_err(|error| asked.unanswered(&with_causes(&error)))?;
    let request = aws_sdk_ssm::Client::new(sdk).describe_instance_information().filters(filter);
    let answer = request.send().await.map_err(|error| asked.explain(&error))?;
    let known = answer.instance_information_list().first();
    Ok(known.and_then(|known| known.ping_status()).map(ToString::to_string))
}

async fn tagging(sdk: &SdkConfig, doors: &aws::Doors, identity: &Identity) -> Option<Permission> {
    let owner = Owner::of(identity);
    let tags = Tags::new(sdk.clone(), doors.clone(), identity.instance.clone(), &owner);
    let outcome = tags.may_create(crate::report::labels::VERSION).await;
    Some(Permission { action: "ec2:CreateTags", feature: "the version in the instance's tags", outcome })
}

async fn auto_scaling(group: &AutoScaling) -> Permission {
    Permission {
        action: "autoscaling:DescribeAutoScalingInstances",
        feature: "letting an Auto Scaling group go on in time",
        outcome: group.membership().await.map(drop),
    }
}
