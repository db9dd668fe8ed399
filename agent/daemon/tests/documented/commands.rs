//! Commands are ones that the program understands.

use std::fs;

use clap::Parser as _;
use clap::error::ErrorKind;
use pitcrew::cli::Cli;

use crate::pages::{pages, root};

/// What each call of `pitcrew` in a line of shell is given. `GROUP`, `DIR` and the like are words like others, but
/// `SECONDS` is a number.
pub(crate) fn calls(line: &str) -> Vec<Vec<String>> {
    // What an example is for stands beside it.
    let line = line.trim().split("  ").next().unwrap_or_default();
    let mut calls = Vec::new();
    for part in line.split(['|', ';']).flat_map(|part| part.split("&&")).filter(|part| part.contains("pitcrew")) {
        // A part of a quoted word is no command.
        let Some(words) = shlex::split(part) else { continue };
        // Where its output goes is the shell's affair.
        let words = words.into_iter().take_while(|word| word != "&" && !word.starts_with('>'));
        let mut words = words.skip_while(|word| ["sudo", "exec"].contains(&word.as_str()) || word.contains('='));
        match words.next().as_deref() {
            Some("pitcrew") => calls.push(words.map(number).collect()),
            Some("cargo") if part.contains("--bin pitcrew -- ") => {
                calls.push(words.skip_while(|word| word != "--").skip(1).map(number).collect());
            }
            Some(_) | None => {}
        }
    }
    calls
}

fn number(word: String) -> String {
    if word == "SECONDS" { "1".to_owned() } else { word }
}

/// Why the program does not understand these arguments, where it does not. The mere name of a command is understood.
pub(crate) fn misunderstood(call: &[String]) -> Option<String> {
    let error = Cli::try_parse_from(["pitcrew".to_owned()].iter().chain(call)).err()?;
    let is_name = call.iter().all(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-')) && call.len() <= 2;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => None,
        ErrorKind::MissingRequiredArgument | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            if is_name && call.iter().all(|word| !word.starts_with('-')) =>
        {
            None
        }
        _ => Some(error.to_string()),
    }
}

#[test]
fn commands_of_the_documentation_are_understood() {
    let mut understood = 0;
    for page in pages() {
        for text in page.spans().into_iter().chain(page.commands()) {
            for call in calls(&text) {
                let why = misunderstood(&call);
                assert!(why.is_none(), "{}: `{text}`: {}", page.name, why.unwrap_or_default());
                understood += 1;
            }
        }
    }
    assert!(understood > 60, "only {understood} commands");
}

#[test]
fn commands_in_what_is_shipped_are_understood() {
    let mut understood = 0;
    let folders = ["config.d", "terraform", "packer", "cloudformation"].map(|name| root().join("packaging").join(name));
    let files =
        folders.into_iter().chain([root().join("systemd"), root().join("systemd/examples")]).flat_map(|folder| {
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
        });
    for file in files.chain([root().join("packaging/bootstrap.example.toml")]) {
        let text = fs::read_to_string(&file).unwrap().replace("/usr/bin/pitcrew", "pitcrew");
        for part in text.lines().flat_map(|line| line.split(['`', '"', '#', '=']).map(str::trim)) {
            if !part.starts_with("pitcrew ") && !part.starts_with("sudo pitcrew ") {
                continue;
            }
            for call in calls(part) {
                let why = misunderstood(&call);
                assert!(why.is_none(), "{}: `{part}`: {}", file.display(), why.unwrap_or_default());
                understood += 1;
            }
        }
    }
    assert!(understood >= 14, "only {understood} commands");
}

/// The readme tells how to break a rehearsal by its options alone.
#[test]
fn options_that_the_readme_names_are_those_of_a_rehearsal() {
    let mut understood = 0;
    for page in pages().iter().filter(|page| page.name.starts_with("README") && !page.spans().is_empty()) {
        for span in page.spans().into_iter().filter(|span| span.starts_with("--")) {
            let call = shlex::split(&format!("rehearse {span}")).unwrap();
            let why = misunderstood(&call);
            assert!(why.is_none(), "{}: `{span}`: {}", page.name, why.unwrap_or_default());
            understood += 1;
        }
    }
    assert!(understood >= 20, "only {understood} options");
}

#[test]
fn a_command_that_is_not_there_would_be_found() {
    for wrong in
        ["pitcrew drain", "sudo pitcrew out --for 1h", "x=1 pitcrew user-data --format raw", "a | pitcrew lnt -"]
    {
        let [call] = &calls(wrong)[..] else { panic!("{wrong}: one call") };
        assert!(misunderstood(call).is_some(), "{wrong}");
    }
}
