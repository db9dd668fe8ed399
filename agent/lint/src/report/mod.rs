//! What was found: for people, for programs, and for code scanners.

mod people;
mod sarif;

use std::fmt;

use serde::Serialize;

use crate::rule::Severity;

pub use people::Style;

/// Everything that was found in one file or directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What was looked at, as a person would call it: `group web-prod in web-prod.json`.
    pub subject: String,
    /// What was found, worst first.
    pub findings: Vec<Finding>,
}

/// One rule broken at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule's stable id.
    pub rule: &'static str,
    /// The rule's name.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What is so, with the values.
    pub message: String,
    /// What happens then.
    pub why: &'static str,
    /// What mends it.
    pub fix: String,
}

/// Where something is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The file.
    pub file: String,
    /// Its line, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The JSON pointer (RFC 6901) of the value, in a JSON file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Where inside of what the value encodes: `user data, line 3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inside: Option<String>,
}

impl Report {
    /// How bad the worst finding is; nothing when there is none.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }

    /// Leaves out what a person chose to live with, by rule id.
    #[must_use]
    pub fn without(mut self, allowed: &[String]) -> Self {
        self.findings.retain(|finding| !allowed.iter().any(|id| id.eq_ignore_ascii_case(finding.rule)));
        self
    }

    /// One JSON object: `subject`, `worst` (`null` when nothing was found) and `findings`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "subject": self.subject, "worst": self.worst(), "findings": self.findings })
    }

    /// A SARIF 2.1.0 log with one run, for code scanners.
    #[must_use]
    pub fn to_sarif(&self) -> serde_json::Value {
        sarif::log(self)
    }

    /// A table for people.
    #[must_use]
    pub fn to_text(&self, style: Style) -> String {
        people::text(self, style)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(pointer) = &self.pointer {
            write!(f, " {}", if pointer.is_empty() { "/" } else { pointer })?;
        }
        match &self.inside {
            Some(inside) => write!(f, " ({inside})"),
            None => Ok(()),
        }
    }
}
