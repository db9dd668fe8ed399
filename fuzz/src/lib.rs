//! What a case of every wire and every file is put through: any bytes at all, and nothing may panic, hang, or come back as
//! something else than it was.
//!
//! `tests/damaged.rs` plays what lies in `corpus/` and damages it, the same way at every run; `fuzz/run` looks for more by
//! coverage. What it finds goes into the corpus.

#![allow(clippy::panic, reason = "a panic is a finding")]

mod agent;
mod answers;
mod bootstrap;
mod bundle;

/// Takes one input, and panics where it is a finding.
pub type Case = fn(&[u8]);

/// Everything that reads what others wrote, by the name of its corpus.
pub const TARGETS: [(&str, Case); 15] = [
    ("agent-socket", agent::socket),
    ("agent-configuration", agent::configuration),
    ("agent-ledger", agent::ledger),
    ("agent-http", agent::http),
    ("answers-metadata", answers::metadata),
    ("answers-aws", answers::aws),
    ("answers-elastigroup", answers::elastigroup),
    ("bundle-appspec", bundle::appspec),
    ("bundle-appspec-init", bundle::appspec_init),
    ("elastigroup-export", bundle::elastigroup_export),
    ("bootstrap-request", bootstrap::request),
    ("bootstrap-reply", bootstrap::reply),
    ("bootstrap-json", bootstrap::json),
    ("bootstrap-os-release", bootstrap::os_release),
    ("bootstrap-manifest", bootstrap::manifest),
];

/// The target of this name.
pub fn case(name: &str) -> Option<Case> {
    TARGETS.iter().find(|(target, _)| *target == name).map(|(_, case)| *case)
}
