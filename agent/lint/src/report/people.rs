//! A report as a table for people: one row a finding, and below it what is so, why that matters and what mends it.

use std::fmt::Write as _;

use super::{Finding, Report};
use crate::rule::Severity;

/// How to write for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal.
    pub width: usize,
    /// Whether severities have colours.
    pub color: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self { width: 100, color: false }
    }
}

const INDENT: usize = 10;

pub(super) fn text(report: &Report, style: Style) -> String {
    let mut text = format!("{}: {}\n", report.subject, counts(&report.findings));
    for finding in &report.findings {
        let Finding { rule, name, severity, place, message, why, fix } = finding;
        let _ = writeln!(text, "\n{}  {rule}  {place}  {name}", paint(*severity, style.color));
        wrap(&mut text, "", message, style.width);
        wrap(&mut text, "why: ", why, style.width);
        wrap(&mut text, "fix: ", fix, style.width);
    }
    text
}

fn counts(findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let counts: Vec<_> = [Severity::Error, Severity::Warning, Severity::Note]
        .into_iter()
        .filter_map(|severity| match count(severity) {
            0 => None,
            1 => Some(format!("1 {severity}")),
            several => Some(format!("{several} {severity}s")),
        })
        .collect();
    if counts.is_empty() { "nothing to mend".to_owned() } else { counts.join(", ") }
}

/// The severity in a column of its own.
fn paint(severity: Severity, color: bool) -> String {
    let column = format!("{severity:<7}");
    if !color {
        return column;
    }
    let code = match severity {
        Severity::Error => 31,
        Severity::Warning => 33,
        Severity::Note => 36,
    };
    format!("\u{1b}[{code}m{column}\u{1b}[0m")
}

/// Writes `lead` and `sentence` below the row, wrapped and indented. A word longer than the line stands alone.
fn wrap(text: &mut String, lead: &str, sentence: &str, width: usize) {
    let indent = " ".repeat(INDENT);
    let mut line = format!("{indent}{lead}");
    let mut is_empty = true;
    for word in sentence.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > width.max(40) {
            let _ = writeln!(text, "{line}");
            line = format!("{indent}{}", " ".repeat(lead.len()));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    let _ = writeln!(text, "{line}");
}
