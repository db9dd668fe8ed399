//! The CodeDeploy integration, and what a deployment needs of the instance.

use crate::group::Subject;
use crate::rule::{Check, Found, Rule, Severity};

pub(super) const CHECKS: &[Check<Subject>] = &[
    Check {
        rule: Rule {
            id: "EG050",
            name: "terminates-after-failure",
            severity: Severity::Warning,
            when: "an instance is terminated when its first deployment fails",
            why: "A broken revision makes Elastigroup launch and terminate instances without end, and their logs are gone.",
        },
        find: terminates_after_failure,
    },
    Check {
        rule: Rule {
            id: "EG051",
            name: "integration-without-group",
            severity: Severity::Error,
            when: "the CodeDeploy integration names no deployment group, or one without its application",
            why: "Elastigroup refuses it, or new instances never get an application.",
        },
        find: integration_without_group,
    },
    Check {
        rule: Rule {
            id: "EG052",
            name: "no-instance-role",
            severity: Severity::Error,
            when: "instances have no IAM role",
            why: "Neither agent gets credentials: the bundle cannot be fetched, and SSM never sees the instance.",
        },
        find: no_instance_role,
    },
    Check {
        rule: Rule {
            id: "EG053",
            name: "several-deployment-groups",
            severity: Severity::Note,
            when: "the CodeDeploy integration names more than one deployment group",
            why: "Their deployments run on one instance at once; it returns to traffic when the last one ends.",
        },
        find: several_deployment_groups,
    },
];

fn terminates_after_failure(subject: &Subject) -> Vec<Found> {
    let flag = subject.group.codedeploy.as_ref().and_then(|codedeploy| codedeploy.terminate_on_failure.as_ref());
    let found = flag.filter(|at| at.value).map(|at| {
        let word = subject.group.word("terminateInstanceOnFailure");
        let fix = format!("Set {word} to false: with INSTANCE_READY declared, such an instance gets no request, and its signal's timeout replaces it.");
        Found::new(subject.at(&at.pointer), format!("{word} is true."), fix)
    });
    Vec::from_iter(found)
}

fn integration_without_group(subject: &Subject) -> Vec<Found> {
    let Some(codedeploy) = &subject.group.codedeploy else { return Vec::new() };
    let fix = "Name the application and its deployment group.";
    if codedeploy.groups.is_empty() {
        let unknown = subject.group.is_unknown("integration_codedeploy");
        let found =
            (!unknown).then(|| Found::new(subject.at(&codedeploy.pointer), "It names no deployment group.", fix));
        return Vec::from_iter(found);
    }
    let incomplete = codedeploy.groups.iter().filter(|group| group.application.is_none() || group.group.is_none());
    let known = incomplete.filter(|_| !subject.group.is_unknown("integration_codedeploy"));
    known.map(|group| Found::new(subject.at(&group.pointer), "It lacks a name.", fix)).collect()
}

fn no_instance_role(subject: &Subject) -> Vec<Found> {
    let group = &subject.group;
    if group.iam_role.is_some() || group.is_unknown("iam_instance_profile") {
        return Vec::new();
    }
    let word = group.word("iamRole");
    let fix = format!("Set {word} to an instance profile with the policies of packaging/iam.");
    vec![Found::new(subject.at(&group.at.launch), format!("{word} is not set."), fix)]
}

fn several_deployment_groups(subject: &Subject) -> Vec<Found> {
    let mut groups = subject.group.codedeploy.iter().flat_map(|codedeploy| &codedeploy.groups);
    let found = groups.nth(1).map(|second| {
        let fix = "Give each bundle its own shims; put what changes together into one bundle.";
        Found::new(subject.at(&second.pointer), "It is not the only one.", fix)
    });
    Vec::from_iter(found)
}
