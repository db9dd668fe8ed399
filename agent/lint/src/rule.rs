//! What a rule is, and the catalogue of all of them.

use std::fmt;
use std::fmt::Write as _;

use serde::Serialize;

use crate::report::Place;
use crate::{bundle, group};

/// How bad a finding is. A report's exit status is that of its worst finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is lost.
    Note,
    /// Loses requests, instances or time where things go a little wrong.
    Warning,
    /// Refused, or loses requests or instances as it stands.
    Error,
}

impl Severity {
    /// The word for people, JSON and SARIF alike.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// One thing that can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Stable id: `EG…` for groups, `AS…` for bundles. An id is never given to another rule.
    pub id: &'static str,
    /// The rule in a few words, in kebab case.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// When it is reported: the end of the sentence "reported when …".
    pub when: &'static str,
    /// What happens then, in one sentence.
    pub why: &'static str,
}

/// A rule with the function that finds where a subject breaks it.
pub(crate) struct Check<S: 'static> {
    pub(crate) rule: Rule,
    pub(crate) find: fn(&S) -> Vec<Found>,
}

/// Where a rule is broken, how exactly, and what mends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) place: Place,
    pub(crate) message: String,
    pub(crate) fix: String,
}

impl Found {
    pub(crate) fn new(place: Place, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { place, message: message.into(), fix: fix.into() }
    }
}

/// Every rule, groups' first, in the order of the ids.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    let of_groups = group::rules::CHECKS.iter().flat_map(|checks| checks.iter()).map(|check| &check.rule);
    let of_bundles = bundle::rules::CHECKS.iter().flat_map(|checks| checks.iter()).map(|check| &check.rule);
    of_groups.chain(of_bundles)
}

/// The rule with this id, in any case.
#[must_use]
pub fn by_id(id: &str) -> Option<&'static Rule> {
    rules().find(|rule| rule.id.eq_ignore_ascii_case(id))
}

/// The page that lists every rule, in Markdown.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# Rules\n\nWhat `pitcrew lint` says about an Elastigroup (`EG…`), and `pitcrew appspec check` about a bundle \
         (`AS…`). Both end with\n0 when there is nothing or only notes, 1 when the worst is a warning, 2 when it is an \
         error. `--allow ID` leaves a rule out.\n",
    );
    let sections = [("EG", "pitcrew lint GROUP.json"), ("AS", "pitcrew appspec check DIR")];
    for (prefix, command) in sections {
        let _ = write!(page, "\n## `{command}`\n\n| rule | severity | reported when | why |\n|---|---|---|---|\n");
        for rule in rules().filter(|rule| rule.id.starts_with(prefix)) {
            let Rule { id, name, severity, when, why } = rule;
            let _ = writeln!(page, "| {id} `{name}` | {severity} | {when} | {why} |");
        }
    }
    page
}

/// Runs every check over a subject, worst findings first, then in the order of the ids and places.
pub(crate) fn findings<'a, S: 'static>(
    checks: impl IntoIterator<Item = &'a Check<S>>,
    subject: &S,
) -> Vec<crate::Finding> {
    let mut findings: Vec<_> = checks
        .into_iter()
        .flat_map(|check| {
            let Rule { id, name, severity, why, .. } = check.rule;
            (check.find)(subject).into_iter().map(move |Found { place, message, fix }| crate::Finding {
                rule: id,
                name,
                severity,
                place,
                message,
                why,
                fix,
            })
        })
        .collect();
    findings.sort_by(|a, b| b.severity.cmp(&a.severity).then(a.rule.cmp(b.rule)));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_are_unique_and_in_order() {
        let mut ids: Vec<_> = rules().map(|rule| rule.id).collect();
        let told = ids.clone();
        ids.sort_by_key(|id| (id.starts_with("AS"), *id));
        ids.dedup();
        assert_eq!(told, ids);
        let mut names: Vec<_> = rules().map(|rule| (&rule.id[..2], rule.name)).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn every_rule_says_when_and_why_in_a_sentence() {
        for Rule { id, name, when, why, .. } in rules() {
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{id}: {name}");
            assert!(!when.ends_with('.') && !when.contains('|'), "{id}: {when}");
            assert!(why.ends_with('.') && !why.contains('|'), "{id}: {why}");
        }
    }
}
