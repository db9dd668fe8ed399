//! `pitcrew lint`: what is wrong with an Elastigroup, by its file alone; and how any report is written.

use std::fs;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use pitcrew_lint::report::Style;
use pitcrew_lint::{Report, Severity, group, rules};

use super::{complain, exit, say};
use crate::config::duration;

/// Say what is wrong with an Elastigroup, by its exported JSON or by a Terraform plan
///
/// Reads the console's export, the API's reply or a Terraform plan as JSON, decodes the user data, and looks for
/// whatever loses requests or instances: with the rule, the place, why it matters and what mends it. Nothing is
/// called, and nothing is changed. docs/rules.md lists all rules.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:

  pitcrew lint group.json --selecting-tag version=8.0
  terraform show -json plan.tfplan | pitcrew lint -
  pitcrew lint group.json --deployment-seconds 900 --sarif > pitcrew.sarif

Exit status: 0 nothing to mend, or notes only; 1 the worst is a warning; 2 it is an error; 64 usage, 65 no Elastigroup \
in the file, 66 the file cannot be read.")]
pub(super) struct LintArgs {
    /// The exported group, or a Terraform plan as JSON; `-` for standard input
    #[arg(value_name = "GROUP.json")]
    file: PathBuf,
    /// The target group's deregistration delay
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    deregistration_delay: u64,
    /// How long an in-place deployment of one instance takes
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    deployment_seconds: u64,
    /// How long it takes from launch until the agents run
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    bootstrap_seconds: u64,
    /// A tag by which the deployment group selects instances; several where all must match
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag)]
    selecting_tag: Vec<(String, String)>,
    #[command(flatten)]
    output: OutputArgs,
}

/// How a report is written.
#[derive(Debug, Default, Args)]
pub(super) struct OutputArgs {
    /// Leave a rule out, by its id; may be given several times
    #[arg(long, value_name = "RULE", value_parser = rule)]
    allow: Vec<String>,
    /// Write one JSON object
    #[arg(long, conflicts_with = "sarif")]
    json: bool,
    /// Write SARIF 2.1.0, for code scanners
    #[arg(long)]
    sarif: bool,
}

pub(super) fn run(arguments: LintArgs) -> u8 {
    let options = group::Options {
        deregistration_delay_s: arguments.deregistration_delay,
        deployment_s: arguments.deployment_seconds,
        bootstrap_s: arguments.bootstrap_seconds,
        selecting_tags: arguments.selecting_tag,
    };
    let (name, text) = match read(&arguments.file) {
        Ok(read) => read,
        Err(error) => {
            complain(&error);
            return exit::NO_INPUT;
        }
    };
    match group::lint(&text, &name, &options) {
        Ok(report) => tell(report, &arguments.output),
        Err(error) => {
            complain(&error.into());
            exit::BAD_INPUT
        }
    }
}

/// What the report calls the file, and its text. A file that is no text is read as far as it is one.
fn read(file: &Path) -> anyhow::Result<(String, String)> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).context("reading standard input")?;
        return Ok(("stdin".to_owned(), String::from_utf8_lossy(&bytes).into_owned()));
    }
    let bytes = fs::read(file).with_context(|| format!("reading `{}`", file.display()))?;
    Ok((file.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()))
}

/// Writes a report as asked, and gives the exit status of its worst finding.
pub(super) fn tell(report: Report, output: &OutputArgs) -> u8 {
    let report = report.without(&output.allow);
    if output.json {
        say(&format!("{:#}", report.to_json()));
    } else if output.sarif {
        say(&format!("{:#}", report.to_sarif()));
    } else {
        say(report.to_text(style()).trim_end());
    }
    status(&report)
}

/// The exit status of a report's worst finding.
pub(super) fn status(report: &Report) -> u8 {
    match report.worst() {
        None | Some(Severity::Note) => exit::DONE,
        Some(Severity::Warning) => exit::WARNINGS,
        Some(Severity::Error) => exit::ERRORS,
    }
}

fn style() -> Style {
    let is_terminal = io::stdout().is_terminal();
    let width = terminal_size::terminal_size().filter(|_| is_terminal).map(|(width, _)| usize::from(width.0));
    Style {
        width: width.unwrap_or(Style::default().width),
        color: is_terminal && std::env::var_os("NO_COLOR").is_none(),
    }
}

/// Seconds as a number, or as a duration with its unit.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(seconds) => Ok(seconds),
        Err(_) => duration::parse(text).map(|duration| duration.as_secs()),
    }
}

fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err(format!("`{text}` is no tag; write KEY=VALUE, such as version=8.0")),
    }
}

fn rule(text: &str) -> Result<String, String> {
    match pitcrew_lint::by_id(text) {
        Some(rule) => Ok(rule.id.to_owned()),
        None => {
            let ids: Vec<_> = rules().map(|rule| rule.id).collect();
            Err(format!("there is no rule `{text}`; the rules are {}", ids.join(" ")))
        }
    }
}
