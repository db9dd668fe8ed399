//! The crew: how agents, scripts and applications are run, so that one scenario plays with real processes or in one process.

mod process;
mod services;
mod transcript;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::death::Generation;
use crate::lifecycle::LifecycleEvent;
use crate::net::BoxFuture;
use crate::seat::Seat;

pub use process::{ProcessCrew, agent_configuration};
pub use services::{Services, systemctl};
pub use transcript::Transcript;

/// The one script in each instance's `drain.d`.
pub const DRAIN_SCRIPT: &str = "50-say-goodbye";
/// The tag by which CodeDeploy chooses the world's instances.
pub const SELECTING_TAG: &str = "pitcrew:ready";

/// Runs what lives on an instance.
pub trait Crew: Send + Sync {
    /// Starts the agent beside `seat` and returns when it says that it is ready.
    fn start_agent<'a>(&'a self, seat: &'a Seat) -> BoxFuture<'a, anyhow::Result<()>>;

    /// Kills the agent (SIGKILL): nothing of it is left running. The scenario restarts it as systemd would.
    fn kill_agent<'a>(&'a self, seat: &'a Seat) -> BoxFuture<'a, anyhow::Result<()>>;

    /// Asks the agent to end (SIGTERM) and waits until it has.
    fn stop_agent<'a>(&'a self, seat: &'a Seat) -> BoxFuture<'a, anyhow::Result<()>>;

    /// Sets the instance's clock for people forward by so many seconds, or back. Fails where the clock is the machine's.
    fn set_clock_forward<'a>(&'a self, seat: &'a Seat, seconds: i64) -> BoxFuture<'a, anyhow::Result<()>> {
        let why = anyhow::anyhow!("instance {}'s clock is this machine's: it is not set by {seconds} s", seat.number);
        Box::pin(std::future::ready(Err(why)))
    }

    /// The instance boots: what starts from now on runs in another boot, where the crew can play that.
    fn boot<'a>(&'a self, seat: &'a Seat) -> BoxFuture<'a, ()> {
        let _ = seat;
        Box::pin(std::future::ready(()))
    }

    /// What `pitcrew status --json` answers on `seat`.
    fn agent_status<'a>(&'a self, seat: &'a Seat) -> BoxFuture<'a, anyhow::Result<serde_json::Value>>;

    /// Runs one script of a revision, CodeDeploy's way, to its end.
    fn run_script(&self, job: ScriptJob) -> BoxFuture<'_, ScriptOutcome>;

    /// Starts or stops the application, as the instance's service manager would. Only [`Services`] calls it.
    fn application<'a>(&'a self, seat: &'a Seat, verb: Verb) -> BoxFuture<'a, anyhow::Result<()>>;
}

/// What a crew is told to do with an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// Start it with what is installed; returns when the process exists, before it listens.
    Start {
        /// What is installed, as [`crate::app::Release`] writes it.
        release: String,
        /// How long it takes before it listens.
        warm_up: Duration,
    },
    /// Stop it at once, cutting whatever is in flight.
    Stop,
}

/// One script to run.
#[derive(Clone)]
pub struct ScriptJob {
    /// The instance.
    pub seat: Seat,
    /// The event that it belongs to.
    pub event: LifecycleEvent,
    /// As the appspec names it.
    pub location: String,
    /// Where it lies on the instance; `None` in a simulated rehearsal.
    pub path: Option<PathBuf>,
    /// Its text, for a crew that starts no processes (see [`crate::bundle::Script::reading`]).
    pub text: String,
    /// CodeDeploy's variables, nothing else.
    pub environment: BTreeMap<String, String>,
    /// After this the host agent sends TERM to the process group.
    pub timeout: Duration,
    /// Who runs it.
    pub host_agent: Generation,
    /// `runas:` of the appspec.
    pub run_as: Option<String>,
    /// `sudo:` of the appspec.
    pub sudo: bool,
    /// The instance's service manager, behind `systemctl`.
    pub services: Services,
    /// Takes what it prints.
    pub transcript: Transcript,
}

/// How a script ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptOutcome {
    /// CodeDeploy's error code.
    pub code: ScriptCode,
    /// Exit status of the process where it had one.
    pub exit: Option<i32>,
    /// Its output (both streams, in order of arrival), the last 2048 characters.
    pub output: String,
    /// How long it took.
    pub took: Duration,
}

/// CodeDeploy's error codes of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum ScriptCode {
    /// 0
    Success,
    /// 1: the appspec names a file that is not in the bundle.
    ScriptMissing,
    /// 2
    ScriptNotExecutable,
    /// 3
    ScriptTimedOut,
    /// 4
    ScriptFailed,
    /// 5
    UnknownError,
    /// 6: a child kept the output open after the script had ended.
    OutputsLeftOpen,
    /// 7: the host agent died meanwhile, and says so when it is back.
    FailedAfterRestart,
}

impl ScriptCode {
    /// CodeDeploy's word for it in diagnostics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::ScriptMissing => "ScriptMissing",
            Self::ScriptNotExecutable => "ScriptNotExecutable",
            Self::ScriptTimedOut => "ScriptTimedOut",
            Self::ScriptFailed => "ScriptFailed",
            Self::UnknownError | Self::OutputsLeftOpen | Self::FailedAfterRestart => "UnknownError",
        }
    }
}
