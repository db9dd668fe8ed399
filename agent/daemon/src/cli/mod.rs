//! The command line: what can be asked, and how each command ends.

mod ami_clean;
mod appspec;
mod call;
mod config;
mod doctor;
mod drain_scripts;
mod ensure;
mod history;
pub(crate) mod hook;
mod leave;
mod lint;
mod operator;
mod restart_agents;
mod run;
mod status;
mod user_data;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use pitcrew_rehearsal::app;
use pitcrew_rehearsal::cli::{RehearseArgs, SystemctlArgs, run as rehearse, systemctl};
use pitcrew_render::cli::{BootstrapArgs, UserDataArgs};

use crate::config::duration;
use crate::protocol::SOCKET;
use crate::simulated;

/// Exit statuses, as `pitcrew hook` and the other commands promise them (sysexits where one fits).
pub mod exit {
    /// What was asked is so.
    pub const DONE: u8 = 0;
    /// It cannot be made so.
    pub const FAILED: u8 = 1;
    /// The command was used wrongly.
    pub const USAGE: u8 = 64;
    /// `lint` and the like: the worst that was found is a warning.
    pub const WARNINGS: u8 = 1;
    /// `lint` and the like: the worst that was found is an error.
    pub const ERRORS: u8 = 2;
    /// What is in the file is not what was asked for.
    pub const BAD_INPUT: u8 = 65;
    /// The file cannot be read.
    pub const NO_INPUT: u8 = 66;
    /// No agent answers.
    pub const UNREACHABLE: u8 = 69;
    /// Only an operator can mend this.
    pub const CONFIGURATION: u8 = 78;
}

/// Keeps an EC2 instance's traffic right around CodeDeploy deployments and Spot interruptions.
#[derive(Debug, Parser)]
#[command(
    name = "pitcrew",
    version,
    max_term_width = 100,
    after_help = "Exit status: 0 done, 1 failed, 64 usage, 69 agent unreachable, 75 timed out, 77 refused because the \
                  instance is leaving, 78 configuration. `lint` and `appspec` end by what they find: 0 nothing or notes, 1 \
                  warnings, 2 errors, 65 the wrong kind of file, 66 no such file."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What is called in every phase of every deployment, and what runs all day, need not build the options of all the other
/// commands first. Where these are called wrongly, or asked for help, [`Cli`] says so.
#[derive(Debug, Parser)]
struct Usual {
    #[command(subcommand)]
    command: UsualCommand,
}

#[derive(Debug, Subcommand)]
enum UsualCommand {
    Run(run::RunArgs),
    Hook(hook::HookArgs),
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Hook(hook::HookArgs),
    Status(status::StatusArgs),
    History(history::HistoryArgs),
    Out(operator::OutArgs),
    In(operator::InArgs),
    Leave(leave::LeaveArgs),
    Doctor(doctor::DoctorArgs),
    Ensure(ensure::EnsureArgs),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    Lint(lint::LintArgs),
    #[command(subcommand)]
    Appspec(appspec::AppspecCommand),
    Rehearse(Box<RehearseArgs>),
    UserData(UserDataArgs),
    Bootstrap(BootstrapArgs),
    AmiClean(ami_clean::AmiCleanArgs),
    #[command(hide = true)]
    DrainScripts(drain_scripts::DrainScriptsArgs),
    #[command(hide = true)]
    RestartAgents(restart_agents::RestartAgentsArgs),
    /// The sample application of a rehearsal
    #[command(hide = true)]
    SampleApp(app::Args),
    /// What `systemctl` is for the scripts of a rehearsal
    #[command(hide = true)]
    RehearseSystemctl(SystemctlArgs),
}

impl Cli {
    /// Reads the arguments; where they make no sense, or only help was asked for, says so and gives the exit status.
    pub fn from_arguments(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, ExitCode> {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let usual = arguments.get(1).is_some_and(|command| command == "hook" || command == "run");
        if usual && let Ok(Usual { command }) = Usual::try_parse_from(&arguments) {
            let command = match command {
                UsualCommand::Hook(arguments) => Command::Hook(arguments),
                UsualCommand::Run(arguments) => Command::Run(arguments),
            };
            return Ok(Self { command });
        }
        Self::try_parse_from(arguments).map_err(|error| {
            let _ = error.print();
            match error.use_stderr() {
                true => ExitCode::from(exit::USAGE),
                false => ExitCode::from(exit::DONE),
            }
        })
    }

    /// Does what was asked.
    pub fn run(self) -> ExitCode {
        let status = match self.command {
            Command::Run(arguments) => run::run(arguments),
            Command::Hook(arguments) => hook::run(arguments),
            Command::Status(arguments) => status::run(arguments),
            Command::History(arguments) => history::run(arguments),
            Command::Out(arguments) => operator::out(arguments),
            Command::In(arguments) => operator::back_in(arguments),
            Command::Leave(arguments) => leave::run(arguments),
            Command::Ensure(arguments) => ensure::run(arguments),
            Command::Doctor(arguments) => doctor::run(arguments),
            Command::RestartAgents(arguments) => restart_agents::run(arguments),
            Command::DrainScripts(arguments) => drain_scripts::run(arguments),
            Command::Config(command) => config::run(command),
            Command::Lint(arguments) => lint::run(arguments),
            Command::Appspec(command) => appspec::run(&command),
            Command::UserData(arguments) => user_data::render(arguments),
            Command::Bootstrap(arguments) => user_data::look(&arguments),
            Command::AmiClean(arguments) => ami_clean::run(arguments),
            Command::Rehearse(arguments) => return rehearse(*arguments, &simulated::crew),
            Command::RehearseSystemctl(arguments) => return systemctl(&arguments),
            Command::SampleApp(arguments) => sample_app(arguments),
        };
        ExitCode::from(status)
    }
}

fn sample_app(arguments: app::Args) -> u8 {
    match app::main(arguments) {
        Ok(()) => exit::DONE,
        Err(error) => {
            complain(&error.into());
            exit::FAILED
        }
    }
}

/// How to reach the agent.
#[derive(Debug, Args)]
struct AgentArgs {
    /// The agent's socket [default: $PITCREW_SOCKET, else /run/pitcrew/pitcrew.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl AgentArgs {
    fn path(self) -> PathBuf {
        self.socket_path()
    }

    fn socket_path(&self) -> PathBuf {
        let named = self.socket.clone().or_else(|| std::env::var_os("PITCREW_SOCKET").map(PathBuf::from));
        named.unwrap_or_else(|| PathBuf::from(SOCKET))
    }
}

/// How long to wait for an agent that is absent or restarting.
#[derive(Debug, Args)]
struct WaitForAgent {
    /// How long to wait for an agent that is absent or restarting
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration::parse)]
    wait_for_agent: Duration,
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct ConfigArgs {
    /// Read *.toml from here instead of /usr/lib, /run and /etc/pitcrew/config.d; may be given several times
    #[arg(long, value_name = "DIR")]
    config_dir: Vec<PathBuf>,
}

/// Writes a line to stdout. That nobody reads any more is no reason to fail: a hook goes on without its reader.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Writes a complaint to stderr, with every cause.
fn complain(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "pitcrew: {error:#}");
}
