//! The same from an operator's machine: a deployment group, the instances that it selects, and its latest deployments.

use std::collections::{BTreeMap, BTreeSet};

use aws_config::SdkConfig;
use pitcrew_core::ids::{DeploymentGroup, InstanceId};
use pitcrew_core::wire::{Failure, FailureKind, Owner};

use super::checks::{IN_PLACE, goes_in_place, unasked};
use super::gather::{membership, ssm};
use super::{Level, Line, Membership, Patience, waits};
use crate::effect::deployments::Latest;
use crate::effect::groups::Group;
use crate::effect::tags::Tags;
use crate::effect::{Balancer, Deployments};

/// A deployment group, as [`gather_fleet`] found it.
#[derive(Clone, Debug)]
pub struct FleetFacts {
    /// Which.
    pub name: DeploymentGroup,
    /// What CodeDeploy says of it.
    pub group: Result<Group, Failure>,
    /// The instances that its tags select.
    pub instances: Result<Vec<FleetInstance>, Failure>,
    /// The target groups that it names, and who is registered there; `NotFound` where one of them does not exist.
    pub balancers: Result<BTreeMap<String, Named>, Failure>,
    /// How long a hook waits for them.
    pub patience: Patience,
    /// Its latest deployments, newest first.
    pub latest: Result<Vec<Latest>, Failure>,
}

/// A target group that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// How a deployment has to wait for it.
    pub membership: Membership,
    /// Everybody who is registered there, by id or address.
    pub members: BTreeSet<String>,
}

/// One of its instances.
#[derive(Clone, Debug)]
pub struct FleetInstance {
    /// `i-…`.
    pub id: String,
    /// Systems Manager's word for it.
    pub ssm: Result<Option<String>, Failure>,
}

/// Asks everything, and changes nothing. `tags` asks about instances' tags, and `balancer` about target groups.
pub async fn gather_fleet(
    sdk: SdkConfig,
    tags: &Tags,
    balancer: &Balancer,
    name: DeploymentGroup,
    patience: Patience,
) -> FleetFacts {
    let deployments = Deployments::new(sdk.clone(), InstanceId::new("i-operator"));
    let group = deployments.group(&name).await;
    let (instances, balancers) = match &group {
        Ok(group) => (selected(&sdk, tags, group).await, named(balancer, &group.balancers).await),
        Err(failure) => (Err(failure.clone()), Err(failure.clone())),
    };
    let latest = deployments.latest(&name, 3).await;
    FleetFacts { name, group, instances, balancers, patience, latest }
}

/// CodeDeploy names its target groups; without any there is nothing to look for.
async fn named(balancer: &Balancer, names: &[String]) -> Result<BTreeMap<String, Named>, Failure> {
    let mut found = BTreeMap::new();
    if names.is_empty() {
        return Ok(found);
    }
    for group in balancer.discover(names).await? {
        let named =
            Named { membership: membership(balancer, &group).await?, members: balancer.members(&group.arn).await? };
        found.insert(group.arn.short().to_owned(), named);
    }
    Ok(found)
}

/// The instances that match every list of filters by one of its filters.
async fn selected(sdk: &SdkConfig, tags: &Tags, group: &Group) -> Result<Vec<FleetInstance>, Failure> {
    let mut matching: Option<Vec<String>> = None;
    for any in &group.selects {
        let mut by_any = Vec::new();
        for filter in any {
            let key = filter.key.as_deref().unwrap_or("*");
            by_any.extend(tags.find(key, filter.value.as_deref()).await?);
        }
        matching = Some(match matching {
            None => by_any,
            Some(before) => before.into_iter().filter(|id| by_any.contains(id)).collect(),
        });
    }
    let mut instances = Vec::new();
    for id in matching.unwrap_or_default() {
        let ssm = ssm(sdk, &InstanceId::new(&*id)).await;
        instances.push(FleetInstance { id, ssm });
    }
    Ok(instances)
}

/// Every prerequisite that can be seen from outside.
pub fn diagnose_fleet(facts: &FleetFacts) -> Vec<Line> {
    const CHECKS: [fn(&FleetFacts) -> Line; 7] = [exists, in_place, instances, online, balancers, health_check, latest];
    CHECKS.into_iter().map(|check| check(facts)).collect()
}

const UNKNOWN: &str = "waits for the deployment group to be known";

fn exists(facts: &FleetFacts) -> Line {
    const NAME: &str = "deployment group";
    let name = &facts.name;
    match &facts.group {
        Ok(Group { owner: Owner::CodeDeploy, balancers, .. }) => {
            Line::ok(NAME, format!("{name}: CodeDeploy moves traffic, in {}", balancers.join(", ")))
        }
        Ok(Group { owner: Owner::Pitcrew | Owner::Elastigroup, .. }) => {
            Line::ok(NAME, format!("{name}: Pitcrew moves traffic"))
        }
        Err(failure) if failure.kind == FailureKind::NotFound => Line::failed(
            NAME,
            format!("{name} does not exist"),
            format!("aws deploy list-deployment-groups --application-name {}", name.application),
        ),
        Err(failure) => unasked(NAME, failure),
    }
}

fn in_place(facts: &FleetFacts) -> Line {
    match &facts.group {
        Err(_) => Line::ok(IN_PLACE, UNKNOWN),
        Ok(group) => goes_in_place(&facts.name, group),
    }
}

fn instances(facts: &FleetFacts) -> Line {
    const NAME: &str = "instances";
    match (&facts.group, &facts.instances) {
        (Err(_), _) => Line::ok(NAME, UNKNOWN),
        (Ok(group), Ok(found)) if found.is_empty() && !group.scaling_groups.is_empty() => {
            Line::ok(NAME, format!("selected by Auto Scaling: {}", group.scaling_groups.join(", ")))
        }
        (Ok(group), Ok(found)) if found.is_empty() => Line::failed(
            NAME,
            format!("none carries {}", group.selection()),
            "let Elastigroup tag its instances so (compute.launchSpecification.tags), or let pitcrew-bootstrap set the last of \
             them when the agents are ready",
        ),
        (Ok(group), Ok(found)) => Line::ok(NAME, format!("{} carry {}", found.len(), group.selection())),
        (Ok(_), Err(failure)) => unasked(NAME, failure),
    }
}

fn online(facts: &FleetFacts) -> Line {
    const NAME: &str = "SSM online";
    let Ok(instances) = &facts.instances else {
        return Line::ok(NAME, "waits for the instances to be known");
    };
    let mut lost = Vec::new();
    for instance in instances {
        match &instance.ssm {
            Ok(Some(status)) if status == "Online" => {}
            Ok(status) => {
                lost.push(format!("{} ({})", instance.id, status.as_deref().unwrap_or("unknown to Systems Manager")));
            }
            Err(failure) => return unasked(NAME, failure),
        }
    }
    match lost.as_slice() {
        [] => Line::ok(NAME, format!("all {} instances", instances.len())),
        lost => Line::failed(
            NAME,
            format!("not: {}", lost.join(", ")),
            "on the instance, pitcrew doctor says why: role, endpoints, or an agent that started before its credentials",
        ),
    }
}

fn balancers(facts: &FleetFacts) -> Line {
    const NAME: &str = "load balancer";
    match &facts.balancers {
        _ if facts.group.is_err() => Line::ok(NAME, UNKNOWN),
        Ok(found) if found.is_empty() => {
            Line::ok(NAME, "the deployment group names none: Pitcrew finds the instances' own target groups")
        }
        Ok(found) => {
            let in_none = |id: &&str| !found.values().any(|group| group.members.contains(*id));
            let instances = facts.instances.iter().flatten().map(|instance| instance.id.as_str());
            let out: Vec<&str> = instances.filter(in_none).collect();
            let names: Vec<&str> = found.keys().map(String::as_str).collect();
            match out.as_slice() {
                [] => Line::ok(NAME, format!("every instance is registered in {}", names.join(", "))),
                out => Line::warning(
                    NAME,
                    format!("not registered in {}: {}", names.join(", "), out.join(", ")),
                    "a deployment that goes well registers them; pitcrew status on the instance says what keeps one out",
                ),
            }
        }
        Err(failure) if failure.kind == FailureKind::NotFound => Line::failed(
            NAME,
            &failure.sentence,
            "name a target group that exists: aws deploy update-deployment-group --load-balancer-info \
             targetGroupInfoList=[{name=GROUP}]",
        ),
        Err(failure) => unasked(NAME, failure),
    }
}

fn health_check(facts: &FleetFacts) -> Line {
    let groups = facts.balancers.as_ref().ok().map(|found| {
        found.iter().map(|(name, group)| (name.clone(), group.membership.clone())).collect::<BTreeMap<_, _>>()
    });
    let owner = facts.group.as_ref().map_or(Owner::Pitcrew, |group| group.owner);
    waits::health_check(groups.as_ref(), facts.patience, owner)
}

fn latest(facts: &FleetFacts) -> Line {
    const NAME: &str = "latest deployment";
    let latest = match &facts.latest {
        _ if facts.group.is_err() => return Line::ok(NAME, UNKNOWN),
        Ok(latest) => latest.first(),
        Err(failure) => return unasked(NAME, failure),
    };
    match latest {
        None => Line::ok(NAME, "there was none yet"),
        Some(Latest { id, status, error }) if status == "Failed" || status == "Stopped" => {
            let why = error.as_deref().unwrap_or("CodeDeploy does not say why");
            Line {
                level: Level::Warning,
                ..Line::failed(
                    NAME,
                    format!("{id}: {status}: {why}"),
                    format!(
                        "aws deploy list-deployment-targets --deployment-id {id}, then get-deployment-target says which hook"
                    ),
                )
            }
        }
        Some(Latest { id, status, .. }) => Line::ok(NAME, format!("{id}: {status}")),
    }
}
