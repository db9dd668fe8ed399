//! The `pitcrew` program.

use std::process::ExitCode;

use pitcrew::cli::Cli;

fn main() -> ExitCode {
    match Cli::from_arguments(std::env::args_os()) {
        Ok(command) => command.run(),
        Err(usage) => usage,
    }
}
