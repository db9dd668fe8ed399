//! Reads a simple script for what it does, so that a rehearsal without processes can play it.

use std::time::Duration;

/// One thing that a script does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `pitcrew hook`
    Hook,
    /// `systemctl` with these words.
    Systemctl(Vec<String>),
    /// `sleep`
    Sleep(Duration),
    /// `trap '' TERM`: what comes after it outlasts a SIGTERM.
    IgnoreTerm,
    /// `exit`
    Exit(i32),
}

/// A line that only a shell can run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, `{text}`, can only be played with real processes: leave out --simulated")]
pub struct UnplayableLine {
    line: usize,
    text: String,
}

/// Reads a script made of `pitcrew hook`, `systemctl`, `sleep`, `echo`, `set`, `exit` and `trap '' TERM`, one a line.
pub fn read_script(text: &str) -> Result<Vec<Step>, UnplayableLine> {
    let mut steps = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let words = words(line);
        let unplayable = || UnplayableLine { line: number + 1, text: line.trim().to_owned() };
        let step = match words.as_slice() {
            [] | ["set" | "echo", ..] => continue,
            ["pitcrew", "hook", ..] => Step::Hook,
            ["systemctl", rest @ ..] => Step::Systemctl(rest.iter().map(|word| (*word).to_owned()).collect()),
            ["sleep", seconds] => Step::Sleep(Duration::from_secs(seconds.parse().map_err(|_| unplayable())?)),
            ["trap", "''", "TERM"] => Step::IgnoreTerm,
            ["exit", status] => Step::Exit(status.parse().map_err(|_| unplayable())?),
            _ => return Err(unplayable()),
        };
        steps.push(step);
    }
    Ok(steps)
}

fn words(line: &str) -> Vec<&str> {
    let code = if line.trim_start().starts_with('#') { "" } else { line.split(" #").next().unwrap_or(line) };
    let mut words: Vec<_> = code.split_whitespace().collect();
    if words.first() == Some(&"exec") {
        words.remove(0);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simple_script_is_read_step_by_step() {
        let steps = read_script("#!/bin/sh\nset -eu\nsystemctl stop a.service # gone\nsleep 3\nexit 1\n");
        assert_eq!(
            steps.unwrap(),
            [
                Step::Systemctl(vec!["stop".into(), "a.service".into()]),
                Step::Sleep(Duration::from_secs(3)),
                Step::Exit(1),
            ]
        );
    }

    #[test]
    fn a_line_that_needs_a_shell_is_named() {
        let error = read_script("#!/bin/sh\ncurl -f http://localhost/\n").unwrap_err();
        assert!(error.to_string().starts_with("line 2, `curl -f"), "{error}");
    }
}
