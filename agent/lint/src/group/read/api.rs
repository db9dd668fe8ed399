//! The API's shape: the console's export, a reply of `GET /aws/ec2/group`, or the bare group.

use std::collections::BTreeSet;

use super::cursor::Cursor;
use crate::group::model::{
    At, Balancer, BalancerKind, CodeDeploy, DeploymentGroup, Group, Sections, Shape, Signal, Tag,
};

/// Every group of a document; what is no group is passed over.
pub(super) fn groups(root: &Cursor<'_>) -> Vec<Group> {
    let mut at = Vec::new();
    if let Some(items) = root.path(&["response", "items"]) {
        at.extend(items.items());
    } else if root.value.is_array() {
        at.extend(root.items());
    } else {
        at.push(root.clone());
    }
    let unwrapped = at.into_iter().map(|item| item.get("group").unwrap_or(item));
    let is_group = |at: &Cursor<'_>| at.get("compute").is_some() || at.get("strategy").is_some();
    unwrapped.filter(is_group).map(|at| group(&at.fresh())).collect()
}

fn group(at: &Cursor<'_>) -> Group {
    let strategy = at.get("strategy");
    let compute = at.get("compute");
    let launch = compute.as_ref().and_then(|compute| compute.get("launchSpecification"));
    let capacity = at.get("capacity");
    let types = compute.as_ref().and_then(|compute| compute.get("instanceTypes"));
    let metadata = launch.as_ref().and_then(|launch| launch.get("metadataOptions"));
    let strategy_pointer = at.pointer_of(&["strategy"]);
    let mut group = Group {
        shape: Shape::Api,
        name: at.text("name").map(|name| name.value),
        at: Sections {
            group: at.pointer.clone(),
            strategy: strategy.as_ref().map_or_else(|| at.pointer.clone(), |_| strategy_pointer),
            compute: compute.as_ref().map_or_else(|| at.pointer.clone(), |compute| compute.pointer.clone()),
            launch: launch.as_ref().map_or_else(|| at.pointer.clone(), |launch| launch.pointer.clone()),
        },
        unknown: BTreeSet::new(),
        misread: Vec::new(),
        region: at.text("region").or_else(|| compute.as_ref()?.text("region")),
        minimum: capacity.as_ref().and_then(|at| at.number("minimum")),
        maximum: capacity.as_ref().and_then(|at| at.number("maximum")),
        target: capacity.as_ref().and_then(|at| at.number("target")),
        spot_types: types.as_ref().and_then(|at| at.texts("spot")),
        ondemand_type: types.as_ref().and_then(|at| at.text("ondemand")),
        zones: compute.as_ref().and_then(zones),
        spot_percentage: strategy.as_ref().and_then(|at| at.number("risk")),
        fallback_to_ondemand: strategy.as_ref().and_then(|at| at.flag("fallbackToOd")),
        draining_timeout: strategy.as_ref().and_then(|at| at.number("drainingTimeout")),
        signals: strategy.as_ref().and_then(|at| at.get("signals")).map(|at| signals(&at)).unwrap_or_default(),
        persists_root: strategy.as_ref().and_then(|at| at.get("persistence")?.flag("shouldPersistRootDevice")),
        health_check_type: launch.as_ref().and_then(|at| at.text("healthCheckType")),
        health_check_grace: launch.as_ref().and_then(|at| at.number("healthCheckGracePeriod")),
        unhealthy_duration: launch.as_ref().and_then(|at| at.number("healthCheckUnhealthyDurationBeforeReplacement")),
        auto_healing: launch.as_ref().and_then(|at| at.flag("autoHealing")),
        balancers: launch.as_ref().map(balancers).unwrap_or_default(),
        makes_target_groups: launch.as_ref().is_some_and(|at| at.get("itf").is_some()),
        iam_role: launch
            .as_ref()
            .and_then(|at| at.get("iamRole"))
            .and_then(|role| role.text("name").or_else(|| role.text("arn"))),
        user_data: launch.as_ref().and_then(|at| at.text("userData")),
        shutdown_script: launch.as_ref().and_then(|at| at.text("shutdownScript")),
        tags: launch.as_ref().and_then(|at| at.get("tags")).map(|at| tags(&at)).unwrap_or_default(),
        http_tokens: metadata.as_ref().and_then(|at| at.text("httpTokens")),
        metadata_tags: metadata.as_ref().and_then(|at| at.text("instanceMetadataTags")),
        codedeploy: at.path(&["thirdPartiesIntegration", "codeDeploy"]).map(|at| codedeploy(&at)),
        roll: None,
    };
    group.misread = at.misread();
    group
}

fn zones(compute: &Cursor<'_>) -> Option<At<usize>> {
    let at = compute.get("availabilityZones").or_else(|| compute.get("subnetIds"))?;
    Some(At { value: at.items().len(), pointer: at.pointer })
}

fn signals(at: &Cursor<'_>) -> Vec<Signal> {
    let signals = at.items().into_iter().map(|signal| Signal {
        pointer: signal.pointer.clone(),
        name: signal.text("name").map(|name| name.value).unwrap_or_default(),
        timeout: signal.number("timeout"),
    });
    signals.collect()
}

fn balancers(launch: &Cursor<'_>) -> Vec<Balancer> {
    let mut balancers = Vec::new();
    if let Some(list) = launch.path(&["loadBalancersConfig", "loadBalancers"]) {
        for at in list.items() {
            let kind = at.text("type").map(|kind| kind.value).unwrap_or_default();
            let (kind, id) = match kind.as_str() {
                "CLASSIC" => (BalancerKind::Classic, at.text("name")),
                "TARGET_GROUP" => (BalancerKind::TargetGroup, at.text("arn")),
                _ => (BalancerKind::Other(kind), None),
            };
            balancers.push(Balancer { pointer: at.pointer, kind, id: id.map(|id| id.value) });
        }
    }
    if let Some(names) = launch.texts("loadBalancerNames") {
        let named = names.value.into_iter().enumerate().map(|(index, name)| Balancer {
            pointer: format!("{}/{index}", names.pointer),
            kind: BalancerKind::Classic,
            id: Some(name),
        });
        balancers.extend(named);
    }
    balancers
}

fn tags(at: &Cursor<'_>) -> Vec<Tag> {
    let tags = at.items().into_iter().map(|tag| Tag {
        pointer: tag.pointer.clone(),
        key: tag.text("tagKey").map(|key| key.value).unwrap_or_default(),
        value: tag.text("tagValue").map(|value| value.value).unwrap_or_default(),
    });
    tags.collect()
}

fn codedeploy(at: &Cursor<'_>) -> CodeDeploy {
    let groups = at.get("deploymentGroups").map(|groups| groups.items()).unwrap_or_default();
    CodeDeploy {
        pointer: at.pointer.clone(),
        terminate_on_failure: at.flag("terminateInstanceOnFailure"),
        groups: groups
            .into_iter()
            .map(|group| DeploymentGroup {
                pointer: group.pointer.clone(),
                application: group.text("applicationName").map(|name| name.value),
                group: group.text("deploymentGroupName").map(|name| name.value),
            })
            .collect(),
    }
}
