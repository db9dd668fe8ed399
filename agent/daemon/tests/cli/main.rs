//! The real binary, as an operator, a hook script and systemd call it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests stop at the first surprise"
)]

mod appspec;
mod config;
mod crashes;
mod crowds;
mod ensure;
mod hook;
mod leave;
mod lint;
mod look;
mod reload;
mod run;
mod stand_in;
mod status;

use std::process::{Command, Output, Stdio};

/// The program, in an environment with nothing in it.
fn pitcrew(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pitcrew"));
    command.env_clear().args(arguments);
    command
}

/// Exit status, stdout and stderr.
fn outcome(command: &mut Command) -> (i32, String, String) {
    told(command.output().unwrap())
}

fn told(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_command_that_does_not_exist_is_a_usage_error() {
    let (status, stdout, stderr) = outcome(&mut pitcrew(&["drain"]));
    assert_eq!((status, stdout.as_str()), (64, ""));
    assert!(stderr.contains("unrecognized subcommand 'drain'"), "{stderr}");
}

#[test]
fn a_bad_duration_is_a_usage_error_that_shows_good_ones() {
    let (status, _, stderr) = outcome(&mut pitcrew(&["out", "--ttl", "5 minutes"]));
    assert_eq!(status, 64);
    assert!(stderr.contains("`5 minutes` is no duration") && stderr.contains("2m"), "{stderr}");
}

#[test]
fn no_time_at_all_and_less_are_usage_errors() {
    for (arguments, words) in [
        (["out", "--ttl", "0s"], "`0s` is no time at all"),
        (["leave", "--in", "0m"], "`0m` is no time at all"),
        (["leave", "--in", "-5s"], "`-5s` is no duration"),
    ] {
        let (status, _, stderr) = outcome(&mut pitcrew(&arguments));
        assert_eq!((status, stderr.contains(words)), (64, true), "{arguments:?}: {stderr}");
    }
    let (status, _, stderr) = outcome(&mut pitcrew(&["rehearse", "--simulated", "--runs", "0"]));
    assert_eq!((status, stderr.contains("0 is not in 1..")), (64, true), "{stderr}");
    let (status, _, stderr) = outcome(&mut pitcrew(&["rehearse", "--chaos", "0"]));
    assert_eq!((status, stderr.contains("0 is not in 1..")), (64, true), "{stderr}");
}

#[test]
fn a_reader_who_has_seen_enough_does_not_end_a_rehearsal() {
    let mut rehearsal =
        pitcrew(&["rehearse", "--simulated"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(rehearsal.stdout.take());
    let (status, _, stderr) = told(rehearsal.wait_with_output().unwrap());
    assert_eq!((status, stderr.as_str()), (0, ""));
}

#[test]
fn a_picture_that_cannot_be_written_is_said_before_anything_is_played() {
    let (status, stdout, stderr) = outcome(&mut pitcrew(&["rehearse", "--simulated", "--html", "/nowhere/a.html"]));
    assert_eq!((status, stdout.as_str()), (2, ""));
    assert!(stderr.contains("writing the picture to `/nowhere/a.html`: No such file"), "{stderr}");
}

#[test]
fn every_command_teaches_by_an_example() {
    for command in [
        &["run"][..],
        &["hook"],
        &["status"],
        &["history"],
        &["out"],
        &["in"],
        &["leave"],
        &["config", "show"],
        &["config", "check"],
        &["lint"],
        &["appspec", "check"],
        &["appspec", "init"],
        &["ensure"],
        &["doctor"],
        &["rehearse"],
        &["user-data"],
        &["bootstrap", "plan"],
        &["ami-clean"],
    ] {
        let (status, stdout, _) = outcome(&mut pitcrew(&[command, &["--help"]].concat()));
        assert_eq!(status, 0, "{command:?}");
        let example = stdout.lines().skip_while(|line| !line.starts_with("Example"));
        let call = format!("pitcrew {}", command.join(" "));
        assert!(example.into_iter().any(|line| line.contains(&call)), "{command:?}: {stdout}");
    }
}
