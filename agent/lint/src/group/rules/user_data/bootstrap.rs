//! Whether what the instance installs fits to what the group waits for, and the shutdown script at its other end.

use super::{at_user_data, decoded};
use crate::group::Subject;
use crate::group::model::{READY, Shape};
use crate::rule::{Check, Found, Rule, Severity};

pub(in crate::group::rules) const CHECKS: &[Check<Subject>] = &[
    Check {
        rule: Rule {
            id: "EG033",
            name: "no-user-data",
            severity: Severity::Note,
            when: "CodeDeploy deploys to new instances, and there is no user data",
            why: "The image must have both agents and Pitcrew, or deployments wait for an agent that never comes.",
        },
        find: no_user_data,
    },
    Check {
        rule: Rule {
            id: "EG034",
            name: "bootstrap-outlasts-signal",
            severity: Severity::Warning,
            when: "Pitcrew's bootstrap may take longer than INSTANCE_READY has time",
            why: "Elastigroup replaces the instance while its bootstrap still tries.",
        },
        find: bootstrap_outlasts_signal,
    },
    Check {
        rule: Rule {
            id: "EG035",
            name: "bootstrap-without-codedeploy",
            severity: Severity::Warning,
            when: "CodeDeploy deploys to new instances, and Pitcrew's bootstrap leaves its agent alone",
            why: "If the image lacks the agent, the first deployment waits for it until CodeDeploy gives up.",
        },
        find: bootstrap_without_codedeploy,
    },
    Check {
        rule: Rule {
            id: "EG036",
            name: "shutdown-script",
            severity: Severity::Warning,
            when: "there is a shutdown script",
            why: "It runs only where Elastigroup's own agent runs, which needs a token of the account on the instance, and knows no deployments.",
        },
        find: shutdown_script,
    },
    Check {
        rule: Rule {
            id: "EG037",
            name: "shutdown-script-broken",
            severity: Severity::Error,
            when: "the shutdown script is no base64, or does not begin with `#!`",
            why: "It cannot be run.",
        },
        find: shutdown_script_broken,
    },
];

fn no_user_data(subject: &Subject) -> Vec<Found> {
    let group = &subject.group;
    if group.codedeploy.is_none() || group.user_data.is_some() || group.is_unknown("user_data") {
        return Vec::new();
    }
    let word = group.word("userData");
    vec![Found::new(
        subject.at(&group.at.launch),
        format!("{word} is not set."),
        format!("Put what `pitcrew user-data` renders into {word}, unless the image has it all."),
    )]
}

fn bootstrap_outlasts_signal(subject: &Subject) -> Vec<Found> {
    let bootstrap = subject.user_data.as_ref().and_then(|data| data.bootstrap.as_ref());
    let timeout = subject.group.signal(READY).and_then(|signal| signal.timeout.as_ref());
    let (Some(bootstrap), Some(timeout)) = (bootstrap, timeout) else { return Vec::new() };
    if bootstrap.deadline_s <= timeout.value {
        return Vec::new();
    }
    let message =
        format!("The bootstrap's deadline is {} s, the timeout of {READY} {} s.", bootstrap.deadline_s, timeout.value);
    let fix = "Set `run.deadline` in bootstrap.toml below the signal's timeout, or raise the timeout.";
    vec![Found::new(at_user_data(subject), message, fix)]
}

fn bootstrap_without_codedeploy(subject: &Subject) -> Vec<Found> {
    let bootstrap = subject.user_data.as_ref().and_then(|data| data.bootstrap.as_ref());
    if subject.group.codedeploy.is_none() || bootstrap.is_none_or(|bootstrap| bootstrap.has_codedeploy) {
        return Vec::new();
    }
    let fix = "Add [codedeploy] to bootstrap.toml; `version = \"ensure\"` where the image has the agent.";
    vec![Found::new(at_user_data(subject), "Its request does not mention the CodeDeploy agent.", fix)]
}

fn shutdown_script(subject: &Subject) -> Vec<Found> {
    let found = subject.group.shutdown_script.as_ref().map(|at| {
        let word = subject.group.word("shutdownScript");
        let fix = format!("Put the script into /etc/pitcrew/drain.d, and take {word} out.");
        Found::new(subject.at(&at.pointer), format!("{word} is set."), fix)
    });
    Vec::from_iter(found)
}

fn shutdown_script_broken(subject: &Subject) -> Vec<Found> {
    let Some(at) = &subject.group.shutdown_script else { return Vec::new() };
    let text = match (decoded(&at.value), subject.group.shape) {
        (Some(text), _) => text,
        (None, Shape::Terraform) => at.value.clone(),
        (None, Shape::Api) => {
            return vec![Found::new(
                subject.at(&at.pointer),
                "It is no base64 of a text.",
                "Encode it: base64 -w0 FILE.",
            )];
        }
    };
    if text.starts_with("#!") {
        return Vec::new();
    }
    let first: String = text.lines().next().unwrap_or_default().chars().take(40).collect();
    vec![Found::new(subject.at(&at.pointer), format!("It begins with `{first}`."), "Begin it with #!/bin/sh.")]
}
