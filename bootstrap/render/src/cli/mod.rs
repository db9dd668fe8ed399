//! `pitcrew user-data` and `pitcrew bootstrap plan`.

mod narrate;
mod plan;

use std::fs;
use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::Arch;
use crate::appended::{AppendError, Appended};
use crate::fetch::Fetch;
use crate::output::Format;
use crate::payloads::{self, PayloadError};
use crate::pins::{self, PinError};
use crate::request;
use crate::settings::{Settings, SettingsError};
use crate::user_data::{self, Contents, UserDataError};
use narrate::Narrator;
pub use plan::Machine;

/// Render bootstrap.toml into user data that installs the agents and Pitcrew, without anything to host.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:

  pitcrew user-data bootstrap.toml
  pitcrew user-data bootstrap.toml --arch both --size
  pitcrew user-data bootstrap.toml --append my-own.sh --format terraform --output user-data.tf")]
pub struct UserDataArgs {
    /// What the instances are to have; see bootstrap.example.toml
    file: PathBuf,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Base64)]
    format: Format,
    /// Which instances it is for
    #[arg(long, value_enum, default_value_t = Archs::X86_64)]
    arch: Archs,
    /// Carry your own user data along: a script runs after the installer, with its status in PITCREW_BOOTSTRAP_STATUS
    #[arg(long, value_name = "FILE")]
    append: Option<PathBuf>,
    /// Print what takes how many bytes, instead of the user data
    #[arg(long)]
    size: bool,
    /// Fetch nothing: every digest must be given
    #[arg(long)]
    offline: bool,
    /// Folder with ARCH/pitcrew-bootstrap, instead of the packaged and the built ones
    #[arg(long, value_name = "DIR")]
    payload_dir: Option<PathBuf>,
    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Architectures to render for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Archs {
    /// 64-bit x86
    #[value(name = "x86_64")]
    X86_64,
    /// 64-bit Arm (Graviton)
    Aarch64,
    /// Both in one blob, for groups that mix them
    Both,
}

/// Look into the bootstrap.
#[derive(Debug, Clone, Args)]
pub struct BootstrapArgs {
    #[command(subcommand)]
    command: BootstrapCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum BootstrapCommand {
    /// Print the steps that bootstrap.toml means on a machine, without doing any
    #[command(after_help = "\
Examples:

  pitcrew bootstrap plan bootstrap.toml
  pitcrew bootstrap plan bootstrap.toml --as al2023/aarch64/eu-west-1")]
    Plan {
        /// What the instances are to have
        file: PathBuf,
        /// Another machine than this one, such as al2023/aarch64 or debian12/x86_64/eu-west-1
        #[arg(long = "as", value_name = "SYSTEM/ARCH[/REGION]")]
        machine: Option<Machine>,
    },
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// `bootstrap.toml` is not accepted.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The appended file is not accepted.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// An installer is missing.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// A digest could not be pinned.
    #[error("pinning digests")]
    Pin(#[from] PinError),
    /// The request cannot be written.
    #[error("writing the request")]
    Request(#[from] pitcrew_plan::request::Unspeakable),
    /// There is no user data that EC2 would take.
    #[error(transparent)]
    UserData(#[from] UserDataError),
    /// This machine is none that the bootstrap knows.
    #[error(transparent)]
    Machine(#[from] plan::MachineError),
    /// A terminal is no place for gzip.
    #[error("raw user data is binary; name a file with -o, or choose --format base64")]
    Terminal,
    /// The result could not be written.
    #[error("writing {place}")]
    Write {
        /// Where to.
        place: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Runs `pitcrew user-data`: the result goes to `out` (or the file asked for), what is told on the way to `news`.
///
/// # Errors
/// [`CliError`], a sentence with what to do next; its source says why.
pub async fn user_data(
    args: &UserDataArgs,
    fetch: &impl Fetch,
    out: &mut dyn Write,
    news: &mut dyn Write,
) -> Result<(), CliError> {
    if args.format == Format::Raw && args.output.is_none() && !args.size && io::stdout().is_terminal() {
        return Err(CliError::Terminal);
    }
    let archs: &[Arch] = match args.arch {
        Archs::X86_64 => &[Arch::X86_64],
        Archs::Aarch64 => &[Arch::Aarch64],
        Archs::Both => &[Arch::X86_64, Arch::Aarch64],
    };
    // Everything that is at hand is checked before anything is fetched.
    let settings = Settings::load(&args.file)?;
    let appended = args.append.as_deref().map(Appended::load).transpose()?;
    let installers =
        archs.iter().map(|arch| payloads::find(*arch, args.payload_dir.as_deref())).collect::<Result<Vec<_>, _>>()?;
    let mut narrator = Narrator::new(news);
    let pinned = pins::pin(&settings, archs, args.offline, fetch, &mut |news| narrator.tell(news)).await?;
    let request = request::text(&settings, &pinned)?;
    let contents = Contents { installers: &installers, request: &request, appended: appended.as_ref() };
    let printed = if args.size {
        user_data::sizes(contents)?.to_string().into_bytes()
    } else {
        args.format.print(&user_data::build(contents)?)
    };
    match &args.output {
        Some(path) => fs::write(path, printed)
            .map_err(|source| CliError::Write { place: format!("`{}`", path.display()), source }),
        None => write_all(out, &printed),
    }
}

/// Runs `pitcrew bootstrap`: the steps go to `out`.
///
/// # Errors
/// [`CliError`], a sentence with what to do next; its source says why.
pub fn bootstrap(args: &BootstrapArgs, out: &mut dyn Write) -> Result<(), CliError> {
    match &args.command {
        BootstrapCommand::Plan { file, machine } => {
            let settings = Settings::load(file)?;
            let machine = machine.clone().map_or_else(Machine::this, Ok)?;
            write_all(out, plan::explain(&settings, &machine)?.as_bytes())
        }
    }
}

fn write_all(out: &mut dyn Write, bytes: &[u8]) -> Result<(), CliError> {
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(|source| CliError::Write { place: "standard output".to_owned(), source })
}
