//! `pitcrew config`: what the configuration says, and whether it makes sense.

use clap::{Args, Subcommand};

use super::{ConfigArgs, complain, exit, say};
use crate::config;

/// Show or check the configuration
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Write every key, its value, and which file set it
    Show(ShowArgs),
    /// Say whether the configuration makes sense; exit status 78 where it does not
    Check(CheckArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:

  pitcrew config show
  pitcrew config show --json | jq '.[] | select(.file)'")]
pub(super) struct ShowArgs {
    /// Write a JSON list of {key, value, file, line}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example, before a file is installed:

  pitcrew config check --config-dir /usr/lib/pitcrew/config.d --config-dir ./config.d")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(command: ConfigCommand) -> u8 {
    let outcome = match command {
        ConfigCommand::Show(arguments) => {
            config::load(&arguments.config.config_dir).map(|merged| match arguments.json {
                true => format!("{:#}", merged.to_json()),
                false => merged.to_toml().trim_end().to_owned(),
            })
        }
        ConfigCommand::Check(arguments) => {
            config::load(&arguments.config.config_dir).map(|_| "the configuration makes sense".to_owned())
        }
    };
    match outcome {
        Ok(text) => {
            say(&text);
            exit::DONE
        }
        Err(error) => {
            complain(&error.into());
            exit::CONFIGURATION
        }
    }
}
