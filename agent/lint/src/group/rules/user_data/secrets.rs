//! Secrets where everybody can read them.

use super::decoded;
use crate::group::Subject;
use crate::rule::{Check, Found, Rule, Severity};

pub(in crate::group::rules) const CHECKS: &[Check<Subject>] = &[
    Check {
        rule: Rule {
            id: "EG031",
            name: "spot-token-in-user-data",
            severity: Severity::Error,
            when: "user data or shutdown script hold a token of the Spot API",
            why: "Every process on the instance, and everybody who may see the group, can read it, and it opens the whole account.",
        },
        find: spot_token,
    },
    Check {
        rule: Rule {
            id: "EG032",
            name: "secret-in-user-data",
            severity: Severity::Error,
            when: "user data or shutdown script hold an AWS access key, a private key, or a token of a code forge",
            why: "Every process on the instance, and everybody who may see the group, can read it.",
        },
        find: secret,
    },
];

/// The texts in which a secret may stand, with their places.
fn texts(subject: &Subject) -> Vec<(crate::Place, String)> {
    let mut texts: Vec<_> =
        subject.scripts().map(|(name, text)| (subject.in_user_data(name), text.to_owned())).collect();
    if let Some(script) = &subject.group.shutdown_script {
        let text = decoded(&script.value).unwrap_or_else(|| script.value.clone());
        texts.push((subject.at(&script.pointer), text));
    }
    texts
}

/// What each text says of secrets, without telling them.
fn secrets(subject: &Subject, look: impl Fn(&str) -> Option<&'static str>, fix: &str) -> Vec<Found> {
    let found = texts(subject).into_iter().filter_map(|(place, text)| {
        let (number, what) = (1..).zip(text.lines()).find_map(|(number, line)| Some((number, look(line)?)))?;
        Some(Found::new(place, format!("Line {number} holds {what}."), fix))
    });
    found.collect()
}

const HIDE: &str = "Take it out and revoke it, for it has been seen; keep it as an SSM parameter (SecureString) that the \
                    instance's role may read.";

fn spot_token(subject: &Subject) -> Vec<Found> {
    secrets(
        subject,
        |line| {
            let (_, behind) = line.split_once("SPOTINST_TOKEN")?;
            let value = behind.trim_start_matches([' ', '=', ':', '"', '\'']);
            let digits = value.chars().take_while(char::is_ascii_hexdigit).count();
            (digits >= 64).then_some("SPOTINST_TOKEN")
        },
        HIDE,
    )
}

fn secret(subject: &Subject) -> Vec<Found> {
    secrets(
        subject,
        |line| {
            if line.contains("PRIVATE KEY-----") {
                return Some("a private key");
            }
            let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            words.into_iter().find_map(|word| {
                let is_key = word.len() == 20
                    && (word.starts_with("AKIA") || word.starts_with("ASIA"))
                    && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
                let is_forge =
                    ["ghp_", "gho_", "ghs_", "github_pat_", "glpat_"].iter().any(|start| word.starts_with(start))
                        && word.len() >= 36;
                if is_key { Some("an AWS access key") } else { is_forge.then_some("a token of a code forge") }
            })
        },
        HIDE,
    )
}
