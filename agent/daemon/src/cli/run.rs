//! `pitcrew run`: the resident agent on a real host.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use pitcrew_core::ids::BootId;
use pitcrew_core::view::View;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tracing::{info, warn};

use super::{AgentArgs, ConfigArgs, call, complain, drain_scripts, exit};
use crate::config::{self, Http, RunScripts, Settings};
use crate::doors::{
    BOOT_ID, Clock, Credentials, HostConnections, HostTransport, OngoingDirectory, SystemClock, boot_id,
};
use crate::effect::scripts::{DrainScripts, Runner, Trust, UnitScripts};
use crate::history::History;
use crate::http::{self, Audience, Limits, Site};
use crate::intake::host_agents::HostAgents;
use crate::intake::imds::Endpoint;
use crate::intake::socket::UnixSocket;
use crate::ledger::DirStore;
use crate::report::log::{self, Volume};
use crate::report::metrics::Metrics;
use crate::report::systemd;
use crate::run::{AwsAccess, Doors, run as run_agent};
use crate::supervise::{Host, RESTART_REQUEST};

/// What the agent does before it knows on which instance it is.
const WAITING: &str = "waiting for the instance metadata service to say who this is";

/// How long systemd, and what is ordered behind the agent, waits for that.
const PATIENCE: Duration = Duration::from_secs(10);

/// Run the agent: hear hooks and notices, and keep traffic where it belongs
///
/// This is what pitcrew.service starts. SIGTERM stops it: by default the instance leaves traffic first, and the next run
/// brings it back (`leave.on_stop`). SIGHUP reads the configuration again.
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
    /// Where the kernel tells which boot this is; a rehearsal that reboots an instance tells it another one
    #[arg(long, value_name = "FILE", default_value = BOOT_ID, hide = true)]
    boot_id: PathBuf,
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
    match log::start(&settings.log).and_then(|volume| call::run(resident(settings, arguments, volume))) {
        Ok(()) => exit::DONE,
        Err(error) => {
            complain(&error);
            exit::FAILED
        }
    }
}

/// One run of the agent after the other: each new configuration begins one, as a restart of the process would, and hooks
/// that wait call again.
async fn resident(mut settings: Settings, arguments: RunArgs, volume: Volume) -> anyhow::Result<()> {
    let RunArgs { state_dir, runtime_dir, boot_id, config, agent } = arguments;
    let state_dir = unit_dir(state_dir, "STATE_DIRECTORY", "/var/lib/pitcrew");
    let runtime_dir = unit_dir(runtime_dir, "RUNTIME_DIRECTORY", "/run/pitcrew");
    let socket = agent.path();
    let kept = Kept {
        boot: self::boot_id(&boot_id).context("reading which boot this is")?,
        metrics: Metrics::default(),
        history: history(&state_dir, settings.history.keep),
    };
    let mut stopping = pin!(told_to_stop()?);
    let mut reloads = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
    info!(socket = %socket.display(), version = env!("CARGO_PKG_VERSION"), "the agent starts");
    if settings.probes.is_empty() {
        info!("no [[health.probe]] is configured: this instance counts as healthy; see /etc/pitcrew/config.d");
    }
    systemd::status(WAITING);
    loop {
        let (stop, stopped) = oneshot::channel();
        let mut stop = Some(stop);
        let mut run = pin!(once(settings.clone(), &state_dir, &runtime_dir, &socket, &kept, stopped));
        let next = loop {
            tokio::select! {
                biased;
                outcome = run.as_mut() => return outcome,
                () = stopping.as_mut(), if stop.is_some() => {
                    // A run that has just ended need not be told.
                    let _ = stop.take().map(|stop| stop.send(()));
                }
                Some(()) = reloads.recv(), if stop.is_some() => {
                    match reread(&config.config_dir, &settings, &volume) {
                        Reread::Restart(next) => break next,
                        Reread::GoOn(next) => settings = *next,
                    }
                }
            }
        };
        settings = *next;
    }
}

/// What a new configuration asks for.
enum Reread {
    /// A new run.
    Restart(Box<Settings>),
    /// Nothing that the run would notice.
    GoOn(Box<Settings>),
}

/// Reads the configuration again. One that is refused changes nothing.
fn reread(directories: &[PathBuf], old: &Settings, volume: &Volume) -> Reread {
    systemd::reloading();
    let next = match config::load(directories) {
        Ok(merged) => Box::new(merged.into_settings()),
        Err(error) => {
            warn!("the configuration is not read again, and stays as it was: {error}");
            systemd::ready("the configuration was refused; see the log");
            return Reread::GoOn(Box::new(old.clone()));
        }
    };
    volume.set(next.log.level);
    if next.log.format != old.log.format {
        warn!("`log.format` changes with the next start of the process");
    }
    match (Settings { log: old.log, ..(*next).clone() }) == *old {
        true => {
            info!("the configuration was read again: nothing has changed but the log, if anything");
            systemd::ready("the configuration was read again");
            Reread::GoOn(next)
        }
        false => {
            info!("the configuration was read again and has changed: beginning a new run with it");
            Reread::Restart(next)
        }
    }
}

/// What goes on from one run to the next.
struct Kept {
    boot: BootId,
    metrics: Metrics,
    history: History,
}

async fn once(
    settings: Settings,
    state_dir: &Path,
    runtime_dir: &Path,
    socket: &Path,
    kept: &Kept,
    stopped: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let boot = kept.boot.clone();
    let doors = Doors {
        clock: Arc::new(SystemClock),
        transport: Arc::new(HostTransport::default()),
        connections: Arc::new(HostConnections),
        commands: Arc::new(OngoingDirectory::at(settings.codedeploy.root.join("ongoing-deployment"))),
        store: Box::new(DirStore::open(state_dir).context("opening the state directory")?),
        identity: Arc::default(),
        metrics: kept.metrics.clone(),
        history: kept.history.clone(),
        seed: seed(&boot),
        boot,
        imds: Endpoint::choose(settings.imds.endpoint.as_ref(), |name| std::env::var(name).ok())
            .context("choosing the metadata service")?,
        aws: AwsAccess::Host,
        host: Some(Host { agents: HostAgents::below("/"), request: runtime_dir.join(RESTART_REQUEST) }),
        scripts: scripts(&settings, runtime_dir),
        credentials: Credentials { directory: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from) },
    };
    let on_stop = settings.leave.on_stop;
    let listener = UnixSocket::bind(socket).await?;
    let stop = async {
        // Nobody stops a run whose process begins another.
        if stopped.await.is_err() {
            std::future::pending().await
        }
    };
    let (view, shown) = watch::channel(None);
    let site = Site::new(
        shown.clone(),
        doors.identity.clone(),
        doors.metrics.clone(),
        doors.history.clone(),
        settings.http.answer_hcs,
    );
    let answering = answer_http(settings.http.clone(), Arc::new(site));
    tokio::select! {
        biased;
        outcome = run_agent(settings, doors, listener, on_stop, view, stop) => outcome,
        never = keep_systemd_informed(shown) => match never {},
        never = answering => match never {},
    }
}

/// Serves whoever may ask how this instance is.
async fn answer_http(settings: Http, site: Arc<Site>) -> Infallible {
    let at = |address: Option<SocketAddr>, audience| {
        let site = site.clone();
        async move {
            if let Some(address) = address {
                http::serve_at(address, site, audience, Limits::default()).await;
            }
        }
    };
    tokio::join!(at(settings.listen, Audience::Host), at(settings.ready_listen, Audience::Balancer));
    std::future::pending().await
}

fn history(state_dir: &Path, keep: usize) -> History {
    let (history, torn) = History::open(state_dir, keep);
    if torn > 0 {
        warn!(lines = torn, "some of the history was torn by a crash or a failing disk; the rest is known");
    }
    history
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

/// READY with the first view, then each new sentence; READY without one, where the metadata service takes its time: the
/// boot of a machine that has none is not held up. The watchdog is fed from the engine's own thread: where the
/// engine is stuck, it is not fed.
async fn keep_systemd_informed(mut shown: watch::Receiver<Option<Arc<View>>>) -> Infallible {
    let mut said: Option<String> = None;
    let mut heartbeat = systemd::watchdog_interval().map(tokio::time::interval);
    let mut patience = pin!(tokio::time::sleep(PATIENCE));
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
            () = patience.as_mut(), if said.is_none() => {
                systemd::ready(WAITING);
                said = Some(WAITING.to_owned());
                continue;
            }
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
fn scripts(settings: &Settings, runtime_dir: &Path) -> Arc<dyn DrainScripts> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let runner =
        Runner { directory: settings.leave.scripts.clone(), trust: Trust::of_this_process(), clock: clock.clone() };
    match settings.leave.run_scripts {
        RunScripts::Direct => Arc::new(runner),
        RunScripts::Unit => Arc::new(UnitScripts {
            request: runtime_dir.join(drain_scripts::REQUEST),
            report: drain_scripts::REPORT.into(),
            runner: Runner { trust: Trust::Anybody, ..runner },
            clock,
        }),
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
