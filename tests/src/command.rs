//! Runs programs for tests: what fails says what it was and all that it wrote.

use std::process::{Command, Output};

/// Runs `program` to its end.
///
/// # Panics
/// When it cannot be started or fails, with its output.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = output(program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{}", output.status, text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs `program` to its end, however that is.
pub fn output(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("starting {program}: {error}"))
}

/// All that a program wrote.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
