//! `pitcrew drain-scripts`: root's side of `drain.d`, which `pitcrew-drain.service` starts when the agent asks for it.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::{call, complain, exit};
use crate::config::{DRAIN_D, Log, LogFormat, LogLevel};
use crate::doors::SystemClock;
use crate::effect::scripts::{Runner, Trust, serve};
use crate::report::log;

/// Where the agent puts its request, below its runtime directory.
pub(super) const REQUEST: &str = "drain/request.json";

/// Where the report is written: in a directory that belongs to root.
pub(super) const REPORT: &str = "/run/pitcrew-drain/report.jsonl";

/// Run what the agent asks for, as this user
#[derive(Debug, Args)]
pub(super) struct DrainScriptsArgs {
    /// The agent's runtime directory, in which its request is
    #[arg(long, value_name = "DIR", default_value = "/run/pitcrew")]
    runtime_dir: PathBuf,
    /// Where to write what came of it
    #[arg(long, value_name = "FILE", default_value = REPORT)]
    report: PathBuf,
    /// Where the scripts are: they and every directory above them must belong to root, and nobody else may write them
    #[arg(long, value_name = "DIR", default_value = DRAIN_D)]
    directory: PathBuf,
}

pub(super) fn run(arguments: DrainScriptsArgs) -> u8 {
    let DrainScriptsArgs { runtime_dir, report, directory } = arguments;
    let runner = Runner { directory, trust: Trust::of_this_process(), clock: Arc::new(SystemClock) };
    let outcome = log::start(&Log { format: LogFormat::Auto, level: LogLevel::Info })
        .and_then(|_| call::run(serve(&runtime_dir.join(REQUEST), &report, runner)));
    match outcome {
        Ok(()) => exit::DONE,
        Err(error) => {
            complain(&error);
            exit::FAILED
        }
    }
}
