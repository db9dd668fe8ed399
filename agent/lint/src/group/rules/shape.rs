//! The group itself: capacity, Spot, balancers.

use crate::group::Subject;
use crate::group::model::{At, BalancerKind};
use crate::rule::{Check, Found, Rule, Severity};

pub(super) const CHECKS: &[Check<Subject>] = &[
    Check {
        rule: Rule {
            id: "EG060",
            name: "wrong-type",
            severity: Severity::Error,
            when: "a value is of another type than it must have",
            why: "Elastigroup refuses the group, and no rule here can look at the value.",
        },
        find: wrong_type,
    },
    Check {
        rule: Rule {
            id: "EG061",
            name: "capacity-out-of-order",
            severity: Severity::Error,
            when: "minimum, target and maximum are not in this order",
            why: "Elastigroup refuses the group.",
        },
        find: capacity_out_of_order,
    },
    Check {
        rule: Rule {
            id: "EG062",
            name: "single-instance",
            severity: Severity::Warning,
            when: "CodeDeploy deploys in place to a group behind a load balancer that may have only one instance",
            why: "While that instance is deployed to, nobody answers.",
        },
        find: single_instance,
    },
    Check {
        rule: Rule {
            id: "EG063",
            name: "spot-without-fallback",
            severity: Severity::Warning,
            when: "there are Spot instances, and no on-demand instance takes the place of one that is not to be had",
            why: "When Spot runs out, the group shrinks with every interruption, in the middle of a deployment, too.",
        },
        find: spot_without_fallback,
    },
    Check {
        rule: Rule {
            id: "EG064",
            name: "few-spot-pools",
            severity: Severity::Note,
            when: "Spot types times zones make fewer than four pools",
            why: "The fewer pools, the more instances one interruption takes, at once.",
        },
        find: few_spot_pools,
    },
    Check {
        rule: Rule {
            id: "EG065",
            name: "broken-balancer",
            severity: Severity::Error,
            when: "a load balancer has neither a name nor an ARN of its kind, or is of a kind that was removed",
            why: "Elastigroup refuses the group, or no instance is registered.",
        },
        find: broken_balancer,
    },
    Check {
        rule: Rule {
            id: "EG066",
            name: "target-group-elsewhere",
            severity: Severity::Error,
            when: "a target group's ARN is of another region than the group, or is none",
            why: "No instance can be registered there.",
        },
        find: target_group_elsewhere,
    },
    Check {
        rule: Rule {
            id: "EG067",
            name: "keeps-root-disk",
            severity: Severity::Note,
            when: "instances keep their root disk when they are replaced",
            why: "The disk moves to an instance with another id: what agents wrote down about the old one is wrong there.",
        },
        find: keeps_root_disk,
    },
];

fn wrong_type(subject: &Subject) -> Vec<Found> {
    let misread = subject.group.misread.iter();
    misread
        .map(|at| {
            Found::new(subject.at(&at.pointer), format!("It is not {}.", at.value), format!("Write {}.", at.value))
        })
        .collect()
}

fn capacity_out_of_order(subject: &Subject) -> Vec<Found> {
    let group = &subject.group;
    let pairs =
        [(&group.minimum, &group.target, "minimum", "target"), (&group.target, &group.maximum, "target", "maximum")];
    let wrong = pairs.into_iter().filter_map(|(low, high, low_name, high_name)| {
        let (low, high) = (low.as_ref()?, high.as_ref()?);
        let message = format!("The {low_name} is {}, the {high_name} {}.", low.value, high.value);
        (low.value > high.value).then(|| Found::new(subject.at(&high.pointer), message, "Put them in order."))
    });
    wrong.collect()
}

fn single_instance(subject: &Subject) -> Vec<Found> {
    let group = &subject.group;
    if group.codedeploy.is_none() || !group.has_balancer() {
        return Vec::new();
    }
    let lone = |at: &Option<At<u64>>| at.clone().filter(|at| at.value == 1);
    let found = lone(&group.target).or_else(|| lone(&group.minimum)).map(|at| {
        let message = format!("The group may have {} instance.", at.value);
        Found::new(
            subject.at(&at.pointer),
            message,
            "Set minimum and target to 2 or more, or deploy when nobody calls.",
        )
    });
    Vec::from_iter(found)
}

fn spot_without_fallback(subject: &Subject) -> Vec<Found> {
    let group = &subject.group;
    let has_spot = group.spot_percentage.as_ref().is_some_and(|at| at.value > 0);
    let found = group.fallback_to_ondemand.as_ref().filter(|at| has_spot && !at.value).map(|at| {
        let word = group.word("strategy.fallbackToOd");
        Found::new(subject.at(&at.pointer), format!("{word} is false."), format!("Set {word} to true."))
    });
    Vec::from_iter(found)
}

const ENOUGH_POOLS: usize = 4;

fn few_spot_pools(subject: &Subject) -> Vec<Found> {
    let group = &subject.group;
    let has_spot = group.spot_percentage.as_ref().is_none_or(|at| at.value > 0);
    let Some(types) = group.spot_types.as_ref().filter(|_| has_spot) else { return Vec::new() };
    let zones = match &group.zones {
        Some(zones) => zones.value,
        // Known to nobody yet: not to be complained of.
        None => return Vec::new(),
    };
    if types.value.len() * zones >= ENOUGH_POOLS {
        return Vec::new();
    }
    let message = format!("{} Spot types in {zones} zones.", types.value.len());
    let fix = format!(
        "Add types of the same size to {}, or subnets in further zones.",
        group.word("compute.instanceTypes.spot")
    );
    vec![Found::new(subject.at(&types.pointer), message, fix)]
}

fn broken_balancer(subject: &Subject) -> Vec<Found> {
    let broken = subject.group.balancers.iter().filter_map(|balancer| {
        let (message, fix) = match (&balancer.kind, &balancer.id) {
            (BalancerKind::Classic, None) => ("This classic load balancer has no name.".to_owned(), "Give its name."),
            (BalancerKind::TargetGroup, None) => ("This target group has no ARN.".to_owned(), "Give its ARN."),
            (BalancerKind::Other(kind), _) => (format!("The type is `{kind}`."), "Write TARGET_GROUP or CLASSIC."),
            (BalancerKind::Classic | BalancerKind::TargetGroup, Some(_)) => return None,
        };
        Some(Found::new(subject.at(&balancer.pointer), message, fix))
    });
    broken.collect()
}

fn target_group_elsewhere(subject: &Subject) -> Vec<Found> {
    let region = subject.group.region.as_ref().map(|at| at.value.as_str());
    let target_groups = subject.group.balancers.iter().filter(|balancer| balancer.kind == BalancerKind::TargetGroup);
    let wrong = target_groups.filter_map(|balancer| {
        let arn = balancer.id.as_deref()?;
        let words: Vec<_> = arn.split(':').collect();
        let message = match words.as_slice() {
            ["arn", _, "elasticloadbalancing", its, _, rest] if rest.starts_with("targetgroup/") => {
                let region = region.filter(|region| region != its)?;
                format!("The target group is in {its}, the group in {region}.")
            }
            _ => format!("`{arn}` is no ARN of a target group."),
        };
        Some(Found::new(
            subject.at(&balancer.pointer),
            message,
            "Give the ARN of a target group in the group's region.",
        ))
    });
    wrong.collect()
}

fn keeps_root_disk(subject: &Subject) -> Vec<Found> {
    let found = subject.group.persists_root.as_ref().filter(|at| at.value).map(|at| {
        let word = subject.group.word("strategy.persistence.shouldPersistRootDevice");
        let fix = "Keep data disks only; Pitcrew itself keys what it keeps by the instance's id.";
        Found::new(subject.at(&at.pointer), format!("{word} is true."), fix)
    });
    Vec::from_iter(found)
}
