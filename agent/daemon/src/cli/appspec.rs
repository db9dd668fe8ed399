//! `pitcrew appspec`: checks a CodeDeploy bundle, and writes Pitcrew's hooks into one.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use pitcrew_lint::bundle::init::{InitError, plan};
use pitcrew_lint::bundle::{self, Options};

use super::lint::{OutputArgs, seconds, tell};
use super::{complain, exit};

/// Check a CodeDeploy bundle, or write Pitcrew's hooks into one
#[derive(Debug, Subcommand)]
pub(super) enum AppspecCommand {
    /// Say what is wrong with a bundle: its appspec.yml, its scripts, and where the shims stand
    Check(CheckArgs),
    /// Write the shim into a bundle and name it in every event, without touching what is there
    Init(InitArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:

  pitcrew appspec check .
  pitcrew appspec check ./bundle --owner codedeploy
  pitcrew appspec check ./bundle --deregistration-delay 5m --slow-requests 2m --json

Exit status: 0 nothing to mend, or notes only; 1 the worst is a warning; 2 it is an error; 64 usage, 66 the bundle cannot \
be read. docs/rules.md lists all rules.")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    bundle: BundleArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:

  pitcrew appspec init . --dry-run
  pitcrew appspec init ./bundle --owner codedeploy

Lines that are there stay as they are, comments and all; a second run changes nothing. What remains to mend by hand is said \
at the end, with the exit status of `pitcrew appspec check`; 65 where the appspec cannot be added to, and nothing is written.")]
pub(super) struct InitArgs {
    #[command(flatten)]
    bundle: BundleArgs,
    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct BundleArgs {
    /// The bundle's directory, with appspec.yml at its top
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Who moves the instance in and out of traffic
    #[arg(long, value_enum, default_value_t = Owner::Pitcrew)]
    owner: Owner,
    /// The target group's deregistration delay
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    deregistration_delay: u64,
    /// How long the slowest request takes
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    slow_requests: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Owner {
    /// Pitcrew; the deployment group names no load balancer
    Pitcrew,
    /// CodeDeploy; the deployment group names its load balancers
    Codedeploy,
    /// Elastigroup, by standby; the deployment group names no load balancer
    Elastigroup,
}

impl BundleArgs {
    fn options(&self) -> Options {
        Options {
            owner: match self.owner {
                Owner::Pitcrew => bundle::Owner::Pitcrew,
                Owner::Codedeploy => bundle::Owner::CodeDeploy,
                Owner::Elastigroup => bundle::Owner::Elastigroup,
            },
            deregistration_delay_s: self.deregistration_delay,
            slow_requests_s: self.slow_requests,
            ..Options::default()
        }
    }
}

pub(super) fn run(command: &AppspecCommand) -> u8 {
    match command {
        AppspecCommand::Check(arguments) => check(&arguments.bundle, &arguments.output),
        AppspecCommand::Init(arguments) => init(arguments),
    }
}

fn check(bundle: &BundleArgs, output: &OutputArgs) -> u8 {
    match bundle::check(&bundle.directory, bundle.options()) {
        Ok(report) => tell(report, output),
        Err(error) => {
            complain(&error.into());
            exit::NO_INPUT
        }
    }
}

fn init(arguments: &InitArgs) -> u8 {
    let directory: &Path = &arguments.bundle.directory;
    let plan = match plan(directory, arguments.bundle.options()) {
        Ok(plan) => plan,
        Err(error) => return failed(error),
    };
    let mut news = std::io::stderr();
    if arguments.dry_run {
        for change in &plan.changes {
            let _ = writeln!(news, "would {}", change.sentence);
            super::say(change.text.trim_end());
        }
        if plan.changes.is_empty() {
            let _ = writeln!(news, "every event has its shim: nothing to write");
        }
        return exit::DONE;
    }
    if let Err(error) = plan.carry_out() {
        return failed(error);
    }
    for change in &plan.changes {
        let _ = writeln!(news, "{}", change.sentence);
    }
    check(&arguments.bundle, &OutputArgs::default())
}

fn failed(error: InitError) -> u8 {
    let status = match &error {
        InitError::Read(_) => exit::NO_INPUT,
        InitError::Refused { .. } => exit::BAD_INPUT,
        InitError::Write { .. } => exit::FAILED,
    };
    complain(&error.into());
    status
}
