//! Figures that tests of this workspace print.

use std::process::{Command, Stdio};

/// Runs `command` of cargo's, and returns what it prints.
pub(crate) fn cargo(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{said}", String::from_utf8_lossy(&output.stderr));
    said
}
