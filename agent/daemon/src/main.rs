//! The `pitcrew` program.

use std::process::ExitCode;

use pitcrew::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse_from(std::env::args_os()) {
        Ok(command) => command.run(),
        Err(usage) => usage,
    }
}
