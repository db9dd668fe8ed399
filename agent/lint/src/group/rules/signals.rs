//! Signals and draining: when an instance gets requests, and how long it is left to finish them.

use super::below;
use crate::group::Subject;
use crate::group::model::{READY, READY_TO_SHUTDOWN};
use crate::rule::{Check, Found, Rule, Severity};

pub(super) const CHECKS: &[Check<Subject>] = &[
    Check {
        rule: Rule {
            id: "EG001",
            name: "no-ready-signal",
            severity: Severity::Error,
            when: "CodeDeploy deploys to new instances behind a load balancer, and INSTANCE_READY is not declared",
            why: "Elastigroup registers an instance before the first deployment has put an application on it.",
        },
        find: no_ready_signal,
    },
    Check {
        rule: Rule {
            id: "EG002",
            name: "signal-timeout-out-of-range",
            severity: Severity::Error,
            when: "a signal's timeout is not within 60 to 1800 s",
            why: "Elastigroup refuses the group.",
        },
        find: signal_timeout_out_of_range,
    },
    Check {
        rule: Rule {
            id: "EG003",
            name: "ready-timeout-too-short",
            severity: Severity::Warning,
            when: "the timeout of INSTANCE_READY is shorter than bootstrap and first deployment together",
            why: "Elastigroup replaces the instance before it can be ready, and its replacement, too.",
        },
        find: ready_timeout_too_short,
    },
    Check {
        rule: Rule {
            id: "EG004",
            name: "signal-without-timeout",
            severity: Severity::Warning,
            when: "a signal has no timeout",
            why: "The default is documented as two minutes, half an hour and forty minutes at different places.",
        },
        find: signal_without_timeout,
    },
    Check {
        rule: Rule {
            id: "EG005",
            name: "unknown-signal",
            severity: Severity::Error,
            when: "a signal is neither INSTANCE_READY nor INSTANCE_READY_TO_SHUTDOWN, or is declared twice",
            why: "There are no others on AWS: Elastigroup refuses the group, or waits for what nobody sends.",
        },
        find: unknown_signal,
    },
    Check {
        rule: Rule {
            id: "EG006",
            name: "draining-timeout-ignored",
            severity: Severity::Note,
            when: "INSTANCE_READY_TO_SHUTDOWN is declared and a draining timeout is set",
            why: "While the signal is declared, its timeout rules and the draining timeout is ignored.",
        },
        find: draining_timeout_ignored,
    },
    Check {
        rule: Rule {
            id: "EG007",
            name: "draining-timeout-too-short",
            severity: Severity::Warning,
            when: "the draining timeout is shorter than the target group's deregistration delay",
            why: "The instance is terminated while the balancer still lets it finish requests: they are lost.",
        },
        find: draining_timeout_too_short,
    },
    Check {
        rule: Rule {
            id: "EG008",
            name: "shutdown-timeout-too-short",
            severity: Severity::Warning,
            when: "the timeout of INSTANCE_READY_TO_SHUTDOWN is shorter than the target group's deregistration delay",
            why: "An instance with slow requests is terminated before they end, though it said nothing yet.",
        },
        find: shutdown_timeout_too_short,
    },
    Check {
        rule: Rule {
            id: "EG009",
            name: "no-shutdown-signal",
            severity: Severity::Note,
            when: "there is a load balancer, and INSTANCE_READY_TO_SHUTDOWN is not declared",
            why: "Each instance that leaves is kept, and paid, for the whole draining timeout, drained or not.",
        },
        find: no_shutdown_signal,
    },
];

fn no_ready_signal(subject: &Subject) -> Vec<Found> {
    let group = &subject.group;
    if group.codedeploy.is_none()
        || !group.has_balancer()
        || group.signal(READY).is_some()
        || group.is_unknown("signal")
    {
        return Vec::new();
    }
    let signals = group.word("strategy.signals");
    let message = format!("{signals} has no {READY}.");
    let fix = format!(
        "Add {READY} with a timeout of {} s or more to {signals}; Pitcrew sends it after the first successful deployment.",
        subject.until_ready_s().clamp(60, 1800)
    );
    vec![Found::new(subject.at(&group.at.strategy), message, fix)]
}

fn signal_timeout_out_of_range(subject: &Subject) -> Vec<Found> {
    let timeouts = subject.group.signals.iter().filter_map(|signal| Some((signal, signal.timeout.as_ref()?)));
    timeouts
        .filter(|(_, timeout)| !(60..=1800).contains(&timeout.value))
        .map(|(signal, timeout)| {
            let message = format!("The timeout of {} is {} s.", signal.name, timeout.value);
            Found::new(subject.at(&timeout.pointer), message, "Set it to 60 to 1800.")
        })
        .collect()
}

fn ready_timeout_too_short(subject: &Subject) -> Vec<Found> {
    let needed = subject.until_ready_s();
    let timeout = subject.group.signal(READY).and_then(|signal| below(signal.timeout.as_ref(), needed.min(1800)));
    let found = timeout.map(|timeout| {
        let message = format!("{READY} must come within {} s; {} take {needed} s.", timeout.value, subject.until_ready());
        let fix = match needed {
            ..=1800 => format!("Set the timeout to {needed} or more, or say how long they take: --bootstrap-seconds, --deployment-seconds."),
            _ => "1800 s is the most: bake the agents into the image, or make the deployment quicker.".to_owned(),
        };
        Found::new(subject.at(&timeout.pointer), message, fix)
    });
    Vec::from_iter(found)
}

fn signal_without_timeout(subject: &Subject) -> Vec<Found> {
    let without = subject.group.signals.iter().filter(|signal| signal.timeout.is_none());
    without
        .map(|signal| {
            let message = format!("{} has no timeout.", signal.name);
            Found::new(subject.at(&signal.pointer), message, "Set it, from 60 to 1800 s.")
        })
        .collect()
}

fn unknown_signal(subject: &Subject) -> Vec<Found> {
    let signals = &subject.group.signals;
    let is_wrong = |(index, name): &(usize, &str)| {
        !matches!(*name, READY | READY_TO_SHUTDOWN) || signals.iter().take(*index).any(|before| before.name == *name)
    };
    let named = signals.iter().enumerate().map(|(index, signal)| (index, signal.name.as_str()));
    named
        .filter(is_wrong)
        .filter_map(|(index, name)| {
            let message = format!("`{name}` is not one of the two signals, or is declared before.");
            let pointer = &signals.get(index)?.pointer;
            Some(Found::new(
                subject.at(pointer),
                message,
                format!("Declare {READY} and {READY_TO_SHUTDOWN} once each."),
            ))
        })
        .collect()
}

fn draining_timeout_ignored(subject: &Subject) -> Vec<Found> {
    let group = &subject.group;
    let (Some(signal), Some(draining)) = (group.signal(READY_TO_SHUTDOWN), &group.draining_timeout) else {
        return Vec::new();
    };
    let rules =
        signal.timeout.as_ref().map_or_else(|| "its default".to_owned(), |timeout| format!("{} s", timeout.value));
    let message = format!(
        "{} is {} s; the signal's timeout, {rules}, rules.",
        group.word("strategy.drainingTimeout"),
        draining.value
    );
    let fix = "Put the time that you need into the signal's timeout, and take the draining timeout out.";
    vec![Found::new(subject.at(&draining.pointer), message, fix)]
}

/// The draining timeout where none is set, in seconds.
const DEFAULT_DRAINING_S: u64 = 120;

fn draining_timeout_too_short(subject: &Subject) -> Vec<Found> {
    let group = &subject.group;
    let delay = subject.options.deregistration_delay_s;
    let word = group.word("strategy.drainingTimeout");
    if !group.has_balancer() {
        return Vec::new();
    }
    let fix = format!("Set {word} to {delay} or more, or say what the delay is: --deregistration-delay.");
    let found = match &group.draining_timeout {
        Some(draining) => (draining.value < delay).then(|| {
            let message = format!("{word} is {} s, the deregistration delay {delay} s.", draining.value);
            Found::new(subject.at(&draining.pointer), message, fix)
        }),
        // Where the signal is declared, there is no draining timeout to fall short.
        None => {
            let rules = group.signal(READY_TO_SHUTDOWN).is_none() && !group.is_unknown("draining_timeout");
            (rules && DEFAULT_DRAINING_S < delay).then(|| {
                let message =
                    format!("{word} is not set, so {DEFAULT_DRAINING_S} s; the deregistration delay is {delay} s.");
                Found::new(subject.at(&group.at.strategy), message, fix)
            })
        }
    };
    Vec::from_iter(found)
}

fn shutdown_timeout_too_short(subject: &Subject) -> Vec<Found> {
    let delay = subject.options.deregistration_delay_s;
    let signal = subject.group.signal(READY_TO_SHUTDOWN).filter(|_| subject.group.has_balancer());
    let found = signal.and_then(|signal| below(signal.timeout.as_ref(), delay.min(1800))).map(|timeout| {
        let message =
            format!("{READY_TO_SHUTDOWN} must come within {} s; the deregistration delay is {delay} s.", timeout.value);
        let fix = format!(
            "Set the timeout to {} or more: the instance goes as soon as it says that it is drained.",
            delay.min(1800)
        );
        Found::new(subject.at(&timeout.pointer), message, fix)
    });
    Vec::from_iter(found)
}

fn no_shutdown_signal(subject: &Subject) -> Vec<Found> {
    let group = &subject.group;
    if !group.has_balancer() || group.signal(READY_TO_SHUTDOWN).is_some() || group.is_unknown("signal") {
        return Vec::new();
    }
    let signals = group.word("strategy.signals");
    let fix = format!(
        "Add {READY_TO_SHUTDOWN} with the longest drain as its timeout to {signals}; Pitcrew sends it once it is drained."
    );
    vec![Found::new(subject.at(&group.at.strategy), format!("{signals} has no {READY_TO_SHUTDOWN}."), fix)]
}
