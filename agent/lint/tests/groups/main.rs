//! Rules over a group: each breaks on one sample and holds on its nearest neighbour, in every shape that a group comes in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

mod samples;
mod shapes;
mod shipped;
mod terraform;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pitcrew_lint::Report;
use pitcrew_lint::group::Options;
use serde_json::Value;

fn shipped_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/elastigroup").join(name)
}

fn recommended() -> Value {
    serde_json::from_str(&fs::read_to_string(shipped_file("recommended.json")).unwrap()).unwrap()
}

fn options() -> Options {
    Options { selecting_tags: vec![("version".into(), "8.0".into())], ..Options::default() }
}

fn told(report: &Report) -> BTreeSet<&'static str> {
    report.findings.iter().map(|finding| finding.rule).collect()
}

/// RFC 7396, but for `null`, which stays: in a group it stands for what is not set.
fn patch(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(members)) => {
            for (key, value) in members {
                self::patch(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, other) => *target = other.clone(),
    }
}
