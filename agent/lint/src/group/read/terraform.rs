//! Terraform's shape: `spotinst_elastigroup_aws` in what `terraform show -json` prints of a plan or of a state.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::cursor::Cursor;
use crate::group::model::{
    At, Balancer, BalancerKind, CodeDeploy, DeploymentGroup, Group, Roll, Sections, Shape, Signal, Tag,
};

const RESOURCE: &str = "spotinst_elastigroup_aws";

/// The groups of every module.
pub(super) fn groups(root: &Cursor<'_>) -> Vec<Group> {
    let unknown = unknown(root);
    let mut groups = Vec::new();
    for values in ["planned_values", "values"] {
        let mut modules: Vec<_> = root.path(&[values, "root_module"]).into_iter().collect();
        while let Some(module) = modules.pop() {
            for resource in module.get("resources").map(|at| at.items()).unwrap_or_default() {
                let text = |key| resource.text(key).map(|text| text.value);
                let Some(at) = resource.get("values").filter(|_| text("type").as_deref() == Some(RESOURCE)) else {
                    continue;
                };
                let unknown = text("address").and_then(|address| unknown.get(&address).cloned()).unwrap_or_default();
                groups.push(group(&at.fresh(), unknown));
            }
            // Popped from the end: the first module comes first.
            modules.extend(module.get("child_modules").map(|at| at.items()).unwrap_or_default().into_iter().rev());
        }
    }
    groups
}

/// By address, the attributes of which at least a part is known only after the apply.
fn unknown(root: &Cursor<'_>) -> BTreeMap<String, BTreeSet<String>> {
    let changes = root.get("resource_changes").map(|at| at.items()).unwrap_or_default();
    let unknown = changes.into_iter().filter_map(|change| {
        let address = change.text("address")?.value;
        let after = change.path(&["change", "after_unknown"])?;
        let names = after.value.as_object()?.iter().filter(|(_, value)| has_true(value)).map(|(name, _)| name.clone());
        Some((address, names.collect()))
    });
    unknown.collect()
}

fn has_true(value: &Value) -> bool {
    match value {
        Value::Bool(flag) => *flag,
        Value::Array(items) => items.iter().any(has_true),
        Value::Object(members) => members.values().any(has_true),
        Value::Null | Value::Number(_) | Value::String(_) => false,
    }
}

fn group(at: &Cursor<'_>, unknown: BTreeSet<String>) -> Group {
    let block = |name: &str| at.get(name).and_then(|at| at.items().into_iter().next());
    let blocks = |name: &str| at.get(name).map(|at| at.items()).unwrap_or_default();
    let metadata = block("metadata_options");
    let pointer = || at.pointer.clone();
    let mut group = Group {
        shape: Shape::Terraform,
        name: at.text("name").map(|name| name.value),
        at: Sections { group: pointer(), strategy: pointer(), compute: pointer(), launch: pointer() },
        unknown,
        misread: Vec::new(),
        region: at.text("region"),
        minimum: at.number("min_size"),
        maximum: at.number("max_size"),
        target: at.number("desired_capacity"),
        spot_types: at.texts("instance_types_spot").filter(|types| !types.value.is_empty()),
        ondemand_type: at.text("instance_types_ondemand"),
        zones: zones(at),
        spot_percentage: at.number("spot_percentage"),
        fallback_to_ondemand: at.flag("fallback_to_ondemand"),
        draining_timeout: at.number("draining_timeout"),
        signals: blocks("signal").iter().map(signal).collect(),
        persists_root: at.flag("persist_root_device"),
        health_check_type: at.text("health_check_type"),
        health_check_grace: at.number("health_check_grace_period"),
        unhealthy_duration: at.number("health_check_unhealthy_duration_before_replacement"),
        auto_healing: at.flag("auto_healing"),
        balancers: balancers(at),
        makes_target_groups: !blocks("itf").is_empty(),
        iam_role: at.text("iam_instance_profile"),
        user_data: at.text("user_data"),
        shutdown_script: at.text("shutdown_script"),
        tags: blocks("tags").iter().map(tag).collect(),
        http_tokens: metadata.as_ref().and_then(|at| at.text("http_tokens")),
        metadata_tags: metadata.as_ref().and_then(|at| at.text("instance_metadata_tags")),
        codedeploy: block("integration_codedeploy").map(|at| codedeploy(&at)),
        roll: block("update_policy")
            .and_then(|at| at.get("roll_config"))
            .and_then(|at| at.items().into_iter().next())
            .map(|at| roll(&at)),
    };
    group.misread = at.misread();
    group
}

fn zones(at: &Cursor<'_>) -> Option<At<usize>> {
    let named = ["subnet_ids", "availability_zones"].into_iter().filter_map(|key| at.get(key));
    let mut counted = named.map(|at| At { value: at.items().len(), pointer: at.pointer });
    counted.find(|zones| zones.value > 0)
}

fn signal(at: &Cursor<'_>) -> Signal {
    Signal {
        pointer: at.pointer.clone(),
        name: at.text("name").map(|name| name.value).unwrap_or_default(),
        timeout: at.number("timeout"),
    }
}

fn balancers(at: &Cursor<'_>) -> Vec<Balancer> {
    let named = |key: &str, kind: BalancerKind| {
        let names = at.texts(key).into_iter();
        let each = names.flat_map(|At { value, pointer }| {
            value.into_iter().enumerate().map(move |(index, name)| (format!("{pointer}/{index}"), name))
        });
        each.map(move |(pointer, name)| Balancer { pointer, kind: kind.clone(), id: Some(name) })
    };
    let target_groups = named("target_group_arns", BalancerKind::TargetGroup);
    target_groups.chain(named("elastic_load_balancers", BalancerKind::Classic)).collect()
}

fn tag(at: &Cursor<'_>) -> Tag {
    let text = |key| at.text(key).map(|text| text.value).unwrap_or_default();
    Tag { pointer: at.pointer.clone(), key: text("key"), value: text("value") }
}

fn codedeploy(at: &Cursor<'_>) -> CodeDeploy {
    let groups = at.get("deployment_groups").map(|groups| groups.items()).unwrap_or_default();
    CodeDeploy {
        pointer: at.pointer.clone(),
        terminate_on_failure: at.flag("terminate_instance_on_failure"),
        groups: groups
            .into_iter()
            .map(|group| DeploymentGroup {
                pointer: group.pointer.clone(),
                application: group.text("application_name").map(|name| name.value),
                group: group.text("deployment_group_name").map(|name| name.value),
            })
            .collect(),
    }
}

fn roll(at: &Cursor<'_>) -> Roll {
    Roll {
        pointer: at.pointer.clone(),
        health_check_type: at.text("health_check_type"),
        grace: at.number("grace_period"),
    }
}
