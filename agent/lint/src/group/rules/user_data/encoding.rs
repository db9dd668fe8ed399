//! Whether EC2 takes the user data, and cloud-init runs it.

use super::at_user_data;
use crate::group::Subject;
use crate::group::user_data::FlawKind;
use crate::rule::{Check, Found, Rule, Severity};

pub(in crate::group::rules) const CHECKS: &[Check<Subject>] = &[
    Check {
        rule: Rule {
            id: "EG020",
            name: "user-data-too-large",
            severity: Severity::Error,
            when: "the user data is larger than 16,384 bytes before base64",
            why: "EC2 refuses to launch the instance.",
        },
        find: too_large,
    },
    Check {
        rule: Rule {
            id: "EG021",
            name: "user-data-broken",
            severity: Severity::Error,
            when: "the user data is no base64, or its gzip or MIME is broken",
            why: "Elastigroup or EC2 refuses it, or cloud-init drops it without a word.",
        },
        find: |subject| flaws(subject, FlawKind::Encoding, "Encode it again; in Terraform: filebase64()."),
    },
    Check {
        rule: Rule {
            id: "EG022",
            name: "user-data-ignored",
            severity: Severity::Error,
            when: "the user data, or a part of it, begins with nothing that cloud-init knows",
            why: "cloud-init ignores it, with one line in its log.",
        },
        find: |subject| {
            flaws(subject, FlawKind::UnknownStart, "Begin a script with #!/bin/sh, a configuration with #cloud-config.")
        },
    },
    Check {
        rule: Rule {
            id: "EG023",
            name: "user-data-not-text",
            severity: Severity::Error,
            when: "the user data, or a part of it, is not UTF-8",
            why: "cloud-init on Python 3 swallows the error, and the script never runs.",
        },
        find: |subject| {
            flaws(subject, FlawKind::NotText, "Carry binary data as base64 within a script; `pitcrew user-data` does.")
        },
    },
    Check {
        rule: Rule {
            id: "EG024",
            name: "user-data-windows-lines",
            severity: Severity::Error,
            when: "a script in the user data has carriage returns at the ends of its lines",
            why: "The kernel looks for an interpreter whose name ends in a carriage return: the script never runs.",
        },
        find: |subject| flaws(subject, FlawKind::WindowsLines, "Convert it: sed -i 's/\\r$//' FILE."),
    },
    Check {
        rule: Rule {
            id: "EG025",
            name: "cloud-config-broken",
            severity: Severity::Error,
            when: "a cloud-config in the user data is no YAML",
            why: "cloud-init ignores all of it.",
        },
        find: |subject| {
            flaws(subject, FlawKind::CloudConfig, "Mend the line; on an instance, `cloud-init schema` checks more.")
        },
    },
];

/// What EC2 takes, in bytes before base64.
const LIMIT: usize = 16_384;

fn too_large(subject: &Subject) -> Vec<Found> {
    let Some(data) = subject.user_data.as_ref().filter(|data| data.bytes > LIMIT) else { return Vec::new() };
    let message = format!("It is {} bytes, {} too many.", data.bytes, data.bytes - LIMIT);
    vec![Found::new(
        at_user_data(subject),
        message,
        "Compress it with gzip, which cloud-init reads, or fetch the rest from S3.",
    )]
}

fn flaws(subject: &Subject, kind: FlawKind, fix: &str) -> Vec<Found> {
    let flaws = subject.user_data.iter().flat_map(|data| &data.flaws).filter(|flaw| flaw.kind == kind);
    flaws.map(|flaw| Found::new(subject.in_user_data(&flaw.inside), &flaw.message, fix)).collect()
}
