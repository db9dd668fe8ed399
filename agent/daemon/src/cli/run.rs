//! `pitcrew run`: the resident agent on a real host.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use pitcrew_core::ids::BootId;
use pitcrew_core::view::View;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

use super::{AgentArgs, ConfigArgs, call, complain, drain_scripts, exit};
use crate::config::{self, RunScripts, Settings};
use crate::doors::{Clock, Credentials, HostConnections, ReqwestTransport, SystemClock, boot_id};
use crate::effect::scripts::{DrainScripts, Runner, Trust, UnitScripts};
use crate::intake::imds::Endpoint;
use crate::intake::socket::UnixSocket;
use crate::ledger::DirStore;
use crate::report::{log, systemd};
use crate::run::{AwsAccess, Doors, run as run_agent};

/// Run the agent: hear hooks and notices, and keep traffic where it belongs
///
/// This is what pitcrew.service starts. SIGTERM stops it: by default the instance leaves traffic first, and the next run
/// brings it back (`leave.on_stop`).
#[derive(Debug, Args)]
#[command(after_help = "\
Example, beside an agent that is installed:

  pitcrew run --socket /tmp/pitcrew.sock --state-dir /tmp/pitcrew --config-dir ./config.d")]
pub(super) struct RunArgs {
    /// Where to remember what must survive a restart [default: $STATE_DIRECTORY, else /var/lib/pitcrew]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Where sockets and requests live, until the next boot [default: $RUNTIME_DIRECTORY, else /run/pitcrew]
    #[arg(long, value_name = "DIR")]
    runtime_dir: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    agent: AgentArgs,
}

pub(super) fn run(arguments: RunArgs) -> u8 {
    let settings = match config::load(&arguments.config.config_dir) {
        Ok(merged) => merged.into_settings(),
        Err(error) => {
            complain(&error.into());
            return exit::CONFIGURATION;
        }
    };
    match log::start(&settings.log).and_then(|()| call::run(resident(settings, arguments))) {
        Ok(()) => exit::DONE,
        Err(error) => {
            complain(&error);
            exit::FAILED
        }
    }
}

async fn resident(settings: Settings, arguments: RunArgs) -> anyhow::Result<()> {
    let boot = boot_id().context("reading which boot this is")?;
    let state_dir = unit_dir(arguments.state_dir, "STATE_DIRECTORY", "/var/lib/pitcrew");
    let doors = Doors {
        clock: Arc::new(SystemClock),
        transport: Arc::new(ReqwestTransport::new().context("building the HTTP client")?),
        connections: Arc::new(HostConnections),
        store: Box::new(DirStore::open(state_dir).context("opening the state directory")?),
        seed: seed(&boot),
        boot,
        imds: Endpoint::choose(settings.imds.endpoint.as_ref(), |name| std::env::var(name).ok())
            .context("choosing the metadata service")?,
        aws: AwsAccess::Host,
        scripts: scripts(&settings, arguments.runtime_dir),
        credentials: Credentials { directory: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from) },
    };
    let on_stop = settings.leave.on_stop;
    let socket = arguments.agent.path();
    let listener = UnixSocket::bind(&socket).await?;
    info!(socket = %socket.display(), version = env!("CARGO_PKG_VERSION"), "the agent starts");
    let stop = told_to_stop()?;
    systemd::status("waiting for the instance metadata service to say who this is");

    let (view, shown) = watch::channel(None);
    tokio::select! {
        biased;
        outcome = run_agent(settings, doors, listener, on_stop, view, stop) => outcome,
        never = keep_systemd_informed(shown) => match never {},
    }
}

/// Ends when systemd or a person stops the agent.
fn told_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    Ok(async move {
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("told to stop");
        systemd::stopping("stopping");
    })
}

/// READY with the first view, then each new sentence. The watchdog is fed from the engine's own thread: where the
/// engine is stuck, it is not fed.
async fn keep_systemd_informed(mut shown: watch::Receiver<Option<Arc<View>>>) -> Infallible {
    let mut said: Option<String> = None;
    let mut heartbeat = systemd::watchdog_interval().map(tokio::time::interval);
    loop {
        let beat = async {
            match &mut heartbeat {
                Some(heartbeat) => heartbeat.tick().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = beat => {
                systemd::alive();
                continue;
            }
            Ok(()) = shown.changed() => {}
            // Without an engine there is no more to say.
            else => std::future::pending().await,
        }
        let Some(view) = shown.borrow_and_update().clone() else { continue };
        match &said {
            Some(said) if *said == view.sentence => continue,
            Some(_) => systemd::status(&view.sentence),
            None => systemd::ready(&view.sentence),
        }
        said = Some(view.sentence.clone());
    }
}

/// `drain.d`, run here or by root's unit.
fn scripts(settings: &Settings, runtime_dir: Option<PathBuf>) -> Arc<dyn DrainScripts> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let runner =
        Runner { directory: settings.leave.scripts.clone(), trust: Trust::of_this_process(), clock: clock.clone() };
    match settings.leave.run_scripts {
        RunScripts::Direct => Arc::new(runner),
        RunScripts::Unit => {
            let runtime_dir = unit_dir(runtime_dir, "RUNTIME_DIRECTORY", "/run/pitcrew");
            Arc::new(UnitScripts {
                request: runtime_dir.join(drain_scripts::REQUEST),
                report: drain_scripts::REPORT.into(),
                runner: Runner { trust: Trust::Anybody, ..runner },
                clock,
            })
        }
    }
}

/// A directory that the unit has systemd make, unless the operator names another.
fn unit_dir(named: Option<PathBuf>, variable: &str, otherwise: &str) -> PathBuf {
    named.unwrap_or_else(|| {
        let directories = std::env::var_os(variable).unwrap_or_default();
        // systemd lists several with colons between them; ours is the first.
        let first = directories.as_encoded_bytes().split(|byte| *byte == b':').next().unwrap_or_default();
        match first {
            [] => PathBuf::from(otherwise),
            path => PathBuf::from(OsStr::from_bytes(path)),
        }
    })
}

/// Another one on every instance, the same one after a restart.
fn seed(boot: &BootId) -> u64 {
    let mut hasher = DefaultHasher::new();
    boot.hash(&mut hasher);
    hasher.finish()
}
