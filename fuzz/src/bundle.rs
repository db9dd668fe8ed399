//! What a deployment and an operator bring along: the appspec of a bundle, and an Elastigroup as it was exported.

use std::fs;

use pitcrew_lint::bundle::init;
use pitcrew_lint::{bundle, group};
use pitcrew_rehearsal::bundle::AppSpec;

/// The `appspec.yml` of a bundle, as the rehearsal's host agent reads it.
pub(crate) fn appspec(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    if let Err(error) = AppSpec::parse(text) {
        assert!(!error.to_string().is_empty());
    }
}

/// The same file as `pitcrew lint` judges it and `pitcrew appspec init` edits it: once edited, it needs nothing more.
pub(crate) fn appspec_init(text: &[u8]) {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory for a bundle: {error}"));
    let write = fs::write(folder.path().join("appspec.yml"), text);
    write.unwrap_or_else(|error| panic!("no room for a bundle: {error}"));
    let _ = bundle::check(folder.path(), bundle::Options::default());
    let Ok(plan) = init::plan(folder.path(), bundle::Options::default()) else { return };
    plan.carry_out().unwrap_or_else(|error| panic!("what was planned cannot be done: {error}"));
    match init::plan(folder.path(), bundle::Options::default()) {
        Ok(again) => assert!(again.changes.is_empty(), "an appspec that has its shims gets more"),
        Err(error) => panic!("what init wrote it cannot read: {error}"),
    }
}

/// An Elastigroup in any of its shapes, with the user data inside of it.
pub(crate) fn elastigroup_export(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    match group::lint(text, "case.json", &group::Options::default()) {
        Ok(report) => assert!(report.findings.iter().all(|finding| finding.place.line != Some(0))),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
