//! The commands of `pitcrew user-data` and `pitcrew bootstrap`, without the agent around them:
//! `cargo run -p pitcrew-render --example user-data -- user-data bootstrap.toml --size`.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use clap::Parser;
use pitcrew_render::cli::{self, BootstrapArgs, UserDataArgs};
use pitcrew_render::fetch::Https;

#[derive(Parser)]
enum Command {
    UserData(UserDataArgs),
    Bootstrap(BootstrapArgs),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Command::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes = std::iter::successors(error.source(), |&cause| cause.source());
            eprintln!("{}", causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}")));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: &Command) -> Result<(), Box<dyn Error>> {
    let (mut out, mut news) = (io::stdout().lock(), io::stderr().lock());
    match command {
        Command::UserData(args) => cli::user_data(args, &Https::new()?, &mut out, &mut news).await?,
        Command::Bootstrap(args) => cli::bootstrap(args, &mut out)?,
    }
    Ok(())
}
