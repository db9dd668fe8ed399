//! `pitcrew user-data` and `pitcrew bootstrap`: the renderer's commands, on this program's command line.

use std::io;

use anyhow::Context as _;
use pitcrew_render::cli::{self, BootstrapArgs, CliError, UserDataArgs};
use pitcrew_render::fetch::Https;

use super::{call, complain, exit};

pub(super) fn render(arguments: UserDataArgs) -> u8 {
    ended(call::run(async move {
        let fetch = Https::new().context("building the HTTP client")?;
        cli::user_data(&arguments, &fetch, &mut io::stdout().lock(), &mut io::stderr().lock()).await?;
        Ok(())
    }))
}

pub(super) fn look(arguments: &BootstrapArgs) -> u8 {
    ended(cli::bootstrap(arguments, &mut io::stdout().lock()).map_err(anyhow::Error::from))
}

/// A file that is not accepted is the operator's to mend; anything else failed on the way.
fn ended(outcome: anyhow::Result<()>) -> u8 {
    match outcome {
        Ok(()) => exit::DONE,
        Err(error) => {
            complain(&error);
            match error.downcast_ref::<CliError>() {
                Some(CliError::Settings(_)) => exit::CONFIGURATION,
                Some(_) | None => exit::FAILED,
            }
        }
    }
}
