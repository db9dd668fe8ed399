//! The examples at the end of `--help`.

use clap::{Command, CommandFactory as _};
use pitcrew::cli::Cli;

use crate::commands::{calls, misunderstood};

/// Lines are wrapped beyond this many characters, and what is wrapped cannot be copied.
const WIDTH: usize = 100;

/// Every example of every command: `pitcrew out --ttl 30m`.
pub(crate) fn examples() -> Vec<String> {
    let mut found = Vec::new();
    gather(&Cli::command(), &mut found);
    found
}

fn gather(command: &Command, found: &mut Vec<String>) {
    let help = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string).unwrap_or_default();
    let indented = help.lines().filter(|line| line.starts_with("  "));
    found.extend(indented.filter(|line| !calls(line).is_empty()).map(|line| line.trim().to_owned()));
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        gather(command, found);
    }
}

#[test]
fn every_example_of_help_is_understood_and_fits_on_its_line() {
    let examples = examples();
    assert!(examples.len() > 45, "only {} examples", examples.len());
    for example in examples {
        assert!(example.len() + 2 <= WIDTH, "wrapped: {example}");
        for call in calls(&example) {
            let why = misunderstood(&call);
            assert!(why.is_none(), "{example}: {}", why.unwrap_or_default());
        }
    }
}
