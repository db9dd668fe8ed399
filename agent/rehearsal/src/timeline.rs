//! What happened and when, as the world saw it: the source of the live timeline, the verdict and the report.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;

use crate::crew::ScriptCode;
use crate::interruption::Action;
use crate::lifecycle::LifecycleEvent;
use crate::lock::lock;
use crate::world::faults::MetadataFault;
use crate::world::targets::TargetId;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Time since the world came up.
    #[serde(serialize_with = "crate::world::seconds")]
    pub at: Duration,
    /// The instance it happened on, where it happened on one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<u8>,
    /// What happened.
    pub what: Happening,
}

/// The kinds of things that happen in a rehearsal.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "fields are named like what they hold; `Display` is the sentence")]
pub enum Happening {
    WorldUp {
        instances: u8,
        seed: u64,
        balancer: String,
    },
    LoadStarted {
        per_second: u32,
    },
    LoadEnded {
        sent: u64,
        lost: u64,
    },
    RequestLost {
        cause: String,
        target: String,
    },
    NoticeGiven {
        notice: String,
    },
    AgentStarted,
    NoticeRead {
        action: Action,
    },
    NoticeWithdrawn,
    TakenAway,
    MetadataInTrouble {
        fault: MetadataFault,
        seconds: u64,
    },
    DrainScriptRan {
        name: String,
        why: String,
    },
    AgentStopped,
    AgentKilled {
        when: String,
    },
    AgentFailed {
        reason: String,
    },
    ApplicationStarted {
        version: String,
    },
    ApplicationReady {
        version: String,
    },
    ApplicationStopped {
        in_traffic: Vec<String>,
    },
    TargetRegistered {
        group: String,
        target: TargetId,
        by: String,
    },
    TargetDeregistered {
        group: String,
        target: TargetId,
        by: String,
    },
    TargetHealthy {
        group: String,
        target: TargetId,
    },
    TargetUnhealthy {
        group: String,
        target: TargetId,
        why: String,
    },
    CallFailed {
        action: String,
        status: u16,
        code: String,
    },
    DeploymentCreated {
        deployment: String,
        group: String,
        revision: String,
    },
    DeploymentSucceeded {
        deployment: String,
    },
    DeploymentFailed {
        deployment: String,
        why: String,
    },
    DeploymentStopped {
        deployment: String,
    },
    HostAgentKilled,
    HostAgentStarted,
    Rebooting,
    Booted,
    EventStarted {
        deployment: String,
        event: LifecycleEvent,
    },
    EventSkipped {
        deployment: String,
        event: LifecycleEvent,
        why: String,
    },
    ScriptEnded(ScriptEnd),
    /// The instance was taken away while the script ran; code and exit say nothing.
    ScriptCut(ScriptEnd),
    EventFailed {
        deployment: String,
        event: LifecycleEvent,
        why: String,
    },
    Installed {
        deployment: String,
        version: String,
        files: usize,
    },
    Noted {
        note: String,
    },
}

/// How one hook script ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScriptEnd {
    /// The deployment.
    pub deployment: String,
    /// The lifecycle event.
    pub event: LifecycleEvent,
    /// The script, as the appspec names it.
    pub location: String,
    /// The revision that it came from.
    pub revision: String,
    /// Whether it is a shim for `pitcrew hook`.
    pub shim: bool,
    /// CodeDeploy's code.
    pub code: ScriptCode,
    /// Exit status where there was one.
    pub exit: Option<i32>,
    /// How long it took.
    #[serde(serialize_with = "crate::world::seconds")]
    pub took: Duration,
    /// Its `timeout:`.
    #[serde(serialize_with = "crate::world::seconds")]
    pub timeout: Duration,
    /// The last line that it printed.
    pub said: String,
    /// When, from its start, it said how its hook would end on an instance that leaves.
    #[serde(serialize_with = "crate::world::optional_seconds", skip_serializing_if = "Option::is_none")]
    pub settled: Option<Duration>,
}

/// Shows an entry as soon as it happens.
pub type Sink = Arc<dyn Fn(&Entry) + Send + Sync>;

/// Everything that happened so far; clones are the same timeline.
#[derive(Clone, Default)]
pub struct Timeline {
    entries: Arc<Mutex<Vec<Entry>>>,
    sink: Option<Sink>,
}

impl Timeline {
    /// A timeline that shows each entry as it comes.
    pub(crate) fn shown_by(sink: Sink) -> Self {
        Self { entries: Arc::default(), sink: Some(sink) }
    }

    /// Adds an entry.
    pub fn add(&self, at: Duration, instance: Option<u8>, what: Happening) {
        let entry = Entry { at, instance, what };
        if let Some(sink) = &self.sink {
            sink(&entry);
        }
        lock(&self.entries).push(entry);
    }

    /// What happened so far, in order.
    pub fn entries(&self) -> Vec<Entry> {
        lock(&self.entries).clone()
    }
}

impl fmt::Debug for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries()).finish()
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WorldUp { instances, seed, balancer } => {
                write!(f, "the world is up: {instances} instances behind http://{balancer}/, seed {seed}")
            }
            Self::LoadStarted { per_second } => write!(f, "load starts: {per_second} requests/s"),
            Self::LoadEnded { sent, lost } => write!(f, "load ended: {sent} sent, {lost} lost"),
            Self::RequestLost { cause, target } if target.is_empty() => write!(f, "request LOST: {cause}"),
            Self::RequestLost { cause, target } => write!(f, "request LOST at {target}: {cause}"),
            Self::NoticeGiven { notice } => write!(f, "notice: {notice}"),
            Self::AgentStarted => f.write_str("agent is ready"),
            Self::NoticeRead { action } => write!(f, "the agent reads the notice ({action})"),
            Self::NoticeWithdrawn => f.write_str("the notice is withdrawn"),
            Self::TakenAway => f.write_str("the instance is GONE"),
            Self::MetadataInTrouble { fault, seconds } => {
                write!(f, "metadata service in trouble for {seconds} s ({})", fault.name())
            }
            Self::DrainScriptRan { name, why } => write!(f, "  drain.d/{name} has run ({why})"),
            Self::AgentStopped => f.write_str("agent has ended"),
            Self::AgentKilled { when } => write!(f, "agent killed (SIGKILL) {when}"),
            Self::AgentFailed { reason } => write!(f, "agent did not start: {reason}"),
            Self::ApplicationStarted { version } => write!(f, "application {version} starts"),
            Self::ApplicationReady { version } => write!(f, "application {version} answers"),
            Self::ApplicationStopped { in_traffic } if in_traffic.is_empty() => {
                f.write_str("application stops, out of traffic")
            }
            Self::ApplicationStopped { in_traffic } => {
                write!(f, "application stops WHILE IN TRAFFIC of {}", in_traffic.join(", "))
            }
            Self::TargetRegistered { group, target, by } => {
                write!(f, "registered {target} in {group} (by {by})")
            }
            Self::TargetDeregistered { group, target, by } => {
                write!(f, "deregistered {target} from {group} (by {by})")
            }
            Self::TargetHealthy { group, .. } => write!(f, "healthy in {group}: in traffic"),
            Self::TargetUnhealthy { group, why, .. } => write!(f, "unhealthy in {group}: {why}"),
            Self::CallFailed { action, status, code } => {
                write!(f, "{action} answered {status} {code}")
            }
            Self::DeploymentCreated { deployment, group, revision } => {
                write!(f, "deployment {deployment} of revision {revision} to group {group}")
            }
            Self::DeploymentSucceeded { deployment } => {
                write!(f, "deployment {deployment} succeeded")
            }
            Self::DeploymentFailed { deployment, why } => {
                write!(f, "deployment {deployment} failed: {why}")
            }
            Self::DeploymentStopped { deployment } => write!(f, "deployment {deployment} is stopped by its operator"),
            Self::HostAgentKilled => f.write_str("CodeDeploy's host agent is killed"),
            Self::HostAgentStarted => f.write_str("CodeDeploy's host agent is back"),
            Self::Rebooting => f.write_str("the instance REBOOTS"),
            Self::Booted => f.write_str("the instance is up again"),
            Self::EventStarted { event, .. } => write!(f, "{event}"),
            Self::EventSkipped { event, why, .. } => write!(f, "{event}: nothing to run, {why}"),
            Self::ScriptEnded(end) => {
                let seconds = end.took.as_secs_f64();
                write!(f, "  {} {}", end.location, end.code.name().to_lowercase())?;
                if let Some(exit) = end.exit.filter(|exit| *exit != 0) {
                    write!(f, " (exit {exit})")?;
                }
                write!(f, " in {seconds:.1} s")?;
                if end.said.is_empty() { Ok(()) } else { write!(f, ": {}", end.said) }
            }
            Self::ScriptCut(end) => write!(f, "  {} cut off after {:.1} s", end.location, end.took.as_secs_f64()),
            Self::EventFailed { event, why, .. } => write!(f, "{event} FAILED: {why}"),
            Self::Installed { version, files, .. } => {
                write!(f, "  installed {files} files, version {version}")
            }
            Self::Noted { note } => f.write_str(note),
        }
    }
}
