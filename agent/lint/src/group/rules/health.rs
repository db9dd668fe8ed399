//! Health checks: what is replaced, and how soon.

use super::below;
use crate::group::Subject;
use crate::group::model::{BalancerKind, Group};
use crate::rule::{Check, Found, Rule, Severity};

pub(super) const CHECKS: &[Check<Subject>] = &[
    Check {
        rule: Rule {
            id: "EG010",
            name: "unknown-health-check",
            severity: Severity::Error,
            when: "the health check type is none that Elastigroup has today",
            why: "Elastigroup refuses the group; MLB and Multai were removed.",
        },
        find: unknown_health_check,
    },
    Check {
        rule: Rule {
            id: "EG011",
            name: "health-check-without-balancer",
            severity: Severity::Error,
            when: "the health check asks a target group or a classic load balancer and the group has none",
            why: "No instance ever becomes healthy, so Elastigroup knows nothing of any.",
        },
        find: health_check_without_balancer,
    },
    Check {
        rule: Rule {
            id: "EG012",
            name: "grace-too-short",
            severity: Severity::Warning,
            when: "the grace period ends before bootstrap and first deployment, and the health check looks at the application",
            why: "A new instance is replaced before it has an application, and its replacement, too.",
        },
        find: grace_too_short,
    },
    Check {
        rule: Rule {
            id: "EG013",
            name: "unhealthy-duration-too-short",
            severity: Severity::Warning,
            when: "an unhealthy instance is replaced sooner than an in-place deployment takes",
            why: "Elastigroup does not know of in-place deployments: it replaces the instance in the middle of one.",
        },
        find: unhealthy_duration_too_short,
    },
    Check {
        rule: Rule {
            id: "EG014",
            name: "application-not-checked",
            severity: Severity::Note,
            when: "there is a load balancer, and the health check looks at the machine only",
            why: "An instance whose application is dead is kept, and the group serves with fewer.",
        },
        find: application_not_checked,
    },
    Check {
        rule: Rule {
            id: "EG015",
            name: "roll-grace-too-short",
            severity: Severity::Warning,
            when: "the grace period of a roll ends before bootstrap and first deployment",
            why: "The roll takes new instances for failed, stops, and blocks the next one.",
        },
        find: roll_grace_too_short,
    },
];

const TYPES: [&str; 8] =
    ["ELB", "HCS", "TARGET_GROUP", "ECS_CLUSTER_INSTANCE", "EC2", "OPSWORKS", "K8S_NODE", "NOMAD_NODE"];
/// Where none is set, in seconds.
const DEFAULT_GRACE_S: u64 = 300;

fn unknown_health_check(subject: &Subject) -> Vec<Found> {
    let group = &subject.group;
    let own = group.health_check_type.iter().filter(|at| !TYPES.contains(&at.value.as_str()));
    let of_roll = group.roll.iter().filter_map(|roll| roll.health_check_type.as_ref());
    let of_roll = of_roll.filter(|at| at.value != "NONE" && !TYPES.contains(&at.value.as_str()));
    let wrong = own.chain(of_roll);
    wrong
        .map(|at| {
            let message = format!("The health check type is `{}`.", at.value);
            let fix = format!("Write TARGET_GROUP or ELB for a load balancer; the others are {}.", TYPES.join(", "));
            Found::new(subject.at(&at.pointer), message, fix)
        })
        .collect()
}

fn health_check_without_balancer(subject: &Subject) -> Vec<Found> {
    let group = &subject.group;
    let Some(at) = &group.health_check_type else { return Vec::new() };
    let has = |kind: BalancerKind| group.balancers.iter().any(|balancer| balancer.kind == kind);
    let is_missing = match at.value.as_str() {
        "TARGET_GROUP" => {
            !has(BalancerKind::TargetGroup) && !group.makes_target_groups && !group.is_unknown("target_group_arns")
        }
        "ELB" => !has(BalancerKind::Classic) && !group.is_unknown("elastic_load_balancers"),
        _ => false,
    };
    if !is_missing {
        return Vec::new();
    }
    let word = group.word("loadBalancersConfig");
    let message = format!("The health check type is {}, and there is no such balancer.", at.value);
    let fix = format!("Name it in {word}, or set {} to EC2.", group.word("healthCheckType"));
    vec![Found::new(subject.at(&at.pointer), message, fix)]
}

/// Whether the check finds an instance without an application unhealthy, and replaces it.
fn looks_at_application(group: &Group) -> bool {
    let by_type =
        group.health_check_type.as_ref().is_some_and(|at| matches!(at.value.as_str(), "ELB" | "TARGET_GROUP" | "HCS"));
    by_type && group.auto_healing.as_ref().is_none_or(|at| at.value)
}

fn grace_too_short(subject: &Subject) -> Vec<Found> {
    let group = &subject.group;
    let needed = subject.until_ready_s();
    let word = group.word("healthCheckGracePeriod");
    if !looks_at_application(group) {
        return Vec::new();
    }
    let (pointer, given, told) = match &group.health_check_grace {
        Some(at) => (&at.pointer, at.value, format!("{} s", at.value)),
        None if group.is_unknown("health_check_grace_period") => return Vec::new(),
        None => (&group.at.launch, DEFAULT_GRACE_S, format!("not set, so {DEFAULT_GRACE_S} s")),
    };
    if given >= needed {
        return Vec::new();
    }
    let message = format!("{word} is {told}; {} take {needed} s.", subject.until_ready());
    let fix = format!("Set it to {needed} or more: it ends at the first healthy answer anyway.");
    vec![Found::new(subject.at(pointer), message, fix)]
}

fn unhealthy_duration_too_short(subject: &Subject) -> Vec<Found> {
    let group = &subject.group;
    let needed = subject.options.deployment_s;
    let word = group.word("healthCheckUnhealthyDurationBeforeReplacement");
    if !looks_at_application(group) || group.codedeploy.is_none() {
        return Vec::new();
    }
    let (pointer, message) = match &group.unhealthy_duration {
        Some(at) if at.value < needed => {
            (&at.pointer, format!("{word} is {} s; a deployment takes {needed} s.", at.value))
        }
        Some(_) => return Vec::new(),
        None if group.is_unknown("health_check_unhealthy_duration_before_replacement") => return Vec::new(),
        None => (&group.at.launch, format!("{word} is not set; a deployment takes {needed} s.")),
    };
    let fix = format!("Set it to {needed} or more, or say how long a deployment takes: --deployment-seconds.");
    vec![Found::new(subject.at(pointer), message, fix)]
}

fn application_not_checked(subject: &Subject) -> Vec<Found> {
    let group = &subject.group;
    let (pointer, told) = match &group.health_check_type {
        Some(at) if at.value == "EC2" => (&at.pointer, "EC2"),
        Some(_) => return Vec::new(),
        None if group.is_unknown("health_check_type") => return Vec::new(),
        None => (&group.at.launch, "not set"),
    };
    if !group.has_balancer() {
        return Vec::new();
    }
    let word = group.word("healthCheckType");
    let message = format!("{word} is {told}.");
    vec![Found::new(
        subject.at(pointer),
        message,
        format!("Set {word} to TARGET_GROUP, or ELB for a classic load balancer."),
    )]
}

fn roll_grace_too_short(subject: &Subject) -> Vec<Found> {
    let needed = subject.until_ready_s();
    let roll = subject.group.roll.as_ref();
    let found = roll.and_then(|roll| Some((roll, below(roll.grace.as_ref(), needed)?))).map(|(roll, grace)| {
        let message = format!(
            "The grace period of {} is {} s; {} take {needed} s.",
            roll.pointer,
            grace.value,
            subject.until_ready()
        );
        Found::new(subject.at(&grace.pointer), message, format!("Set it to {needed} or more."))
    });
    Vec::from_iter(found)
}
