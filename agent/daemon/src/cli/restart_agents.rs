//! `pitcrew restart-agents`: root's side of a restart, which `pitcrew-restart.service` starts when the agent asks for it.

use std::path::PathBuf;

use clap::Args;

use super::{complain, exit};
use crate::config::{Log, LogFormat, LogLevel};
use crate::report::log;
use crate::supervise::{RESTART_REQUEST, serve};

/// Restart the agent of AWS that the resident agent asks for
#[derive(Debug, Args)]
pub(super) struct RestartAgentsArgs {
    /// The agent's runtime directory, in which its request is
    #[arg(long, value_name = "DIR", default_value = "/run/pitcrew")]
    runtime_dir: PathBuf,
    /// What restarts a unit
    #[arg(long, value_name = "PROGRAM", default_value = "systemctl")]
    systemctl: PathBuf,
}

pub(super) fn run(arguments: RestartAgentsArgs) -> u8 {
    let outcome = log::start(&Log { format: LogFormat::Auto, level: LogLevel::Info })
        .and_then(|_| serve(&arguments.runtime_dir.join(RESTART_REQUEST), &arguments.systemctl));
    match outcome {
        Ok(()) => exit::DONE,
        Err(error) => {
            complain(&error);
            exit::FAILED
        }
    }
}
