//! A report as SARIF 2.1.0, the format of code scanners (OASIS, 27 March 2020).

use serde_json::{Value, json};

use super::{Finding, Place, Report};
use crate::rule::{Rule, by_id};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

pub(super) fn log(report: &Report) -> Value {
    let mut rules: Vec<&Rule> = report.findings.iter().filter_map(|finding| by_id(finding.rule)).collect();
    rules.sort_by_key(|rule| rule.id);
    rules.dedup_by_key(|rule| rule.id);
    let results: Vec<Value> = report.findings.iter().map(|finding| result(finding, &rules)).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "pitcrew",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|rule| descriptor(rule)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn descriptor(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "name": rule.name,
        "shortDescription": { "text": format!("Reported when {}.", rule.when) },
        "fullDescription": { "text": rule.why },
        "defaultConfiguration": { "level": rule.severity.word() },
    })
}

fn result(finding: &Finding, rules: &[&Rule]) -> Value {
    let Finding { rule, severity, place, message, why, fix, .. } = finding;
    json!({
        "ruleId": rule,
        "ruleIndex": rules.iter().position(|known| known.id == *rule),
        "level": severity.word(),
        "message": { "text": format!("{message} {why} Fix: {fix}") },
        "locations": [location(place)],
    })
}

fn location(place: &Place) -> Value {
    let mut physical = json!({ "artifactLocation": { "uri": uri(&place.file) } });
    if let Some(line) = place.line {
        physical["region"] = json!({ "startLine": line });
    }
    let mut location = json!({ "physicalLocation": physical });
    if let Some(pointer) = &place.pointer {
        location["logicalLocations"] = json!([{ "fullyQualifiedName": pointer, "kind": "member" }]);
    }
    if let Some(inside) = &place.inside {
        location["message"] = json!({ "text": inside });
    }
    location
}

/// The file as a relative or `file:` URI reference.
fn uri(file: &str) -> String {
    let mut uri = String::from(if file.starts_with('/') { "file://" } else { "" });
    for byte in file.trim_start_matches("./").bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri
}
