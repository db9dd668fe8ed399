//! What is spoken on the agent's socket: lines of JSON, versioned, bounded.
//!
//! The socket is `/run/pitcrew/pitcrew.sock`. A client connects and writes **one request line**:
//!
//! ```json
//! {"v":1,"hook":{"event":"BeforeInstall","deployment":"d-ABC","application":"shop","group":"web","patience_ms":900000}}
//! {"v":1,"out":{"ttl_ms":3600000,"patience_ms":60000}}
//! {"v":1,"in":{"patience_ms":60000}}
//! {"v":1,"leave":{"within_ms":90000,"waits":true,"patience_ms":120000}}
//! {"v":1,"leave_plan":{"within_ms":90000}}
//! {"v":1,"status":{}}
//! {"v":1,"history":{}}
//! ```
//!
//! `patience_ms` (how long the caller waits), `ttl_ms` and `within_ms` may be absent. The agent writes reply lines: first that it
//! took the call and how long it may take, then any number of sentences, then exactly one end. Where the end is settled
//! but not yet due, it is promised first: the promise stands if the agent goes away before the end, until the agent, or
//! the one that takes the call after it, promises something else, takes it back, or says how things go without one.
//!
//! ```json
//! {"v":1,"accepted":{"patience_ms":900000}}
//! {"v":1,"promised":{"answer":{"verdict":"done","sentence":"leaving: not returned to traffic"},"within_ms":30000}}
//! {"v":1,"retracted":{}}
//! {"v":1,"progress":"draining: 3 connections left"}
//! {"v":1,"answer":{"verdict":"done","sentence":"out of traffic"}}
//! ```
//!
//! For `status`, `history` and `leave_plan` the end is a document, `{"v":1,"status":{…}}`; where the agent does not take the call, it is
//! `{"v":1,"refused":{"reason":"permission","sentence":"…"}}`. A caller that was told to stop writes
//! `{"v":1,"cancel":{}}` and still gets its answer; closing the connection also gives the call up. A connection
//! that closes before the end means that the agent went away: send the same request again, it is safe.
//!
//! A line of another version is answered by a refusal in the reader's own version, so both sides can say what to do.

pub mod client;
mod line;

use std::time::Duration;

use pitcrew_core::ids::{DeploymentGroup, DeploymentId};
use pitcrew_core::lifecycle::LifecycleEvent;
use pitcrew_core::revision::Revision;
use pitcrew_core::time::millis;
use pitcrew_core::wire::{Answer, HookCall};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use line::{LineError, Lines};

/// The version of the protocol that this program speaks.
pub const VERSION: u64 = 1;

/// Where the agent listens, unless `PITCREW_SOCKET` or `--socket` says otherwise.
pub const SOCKET: &str = "/run/pitcrew/pitcrew.sock";

/// The longest request line, in bytes.
pub const REQUEST_LIMIT: usize = 64 * 1024;

/// The longest reply line, in bytes; a status document may be long.
pub const REPLY_LIMIT: usize = 1024 * 1024;

/// What a client writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// A hook script calls.
    Hook(Hook),
    /// An operator takes the instance out of traffic.
    Out {
        /// Ends by itself after so many milliseconds; absent: not before `in`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ttl_ms: Option<u64>,
        /// How long the caller waits, in milliseconds; absent: the agent's `hook_timeout`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        patience_ms: Option<u64>,
    },
    /// An operator brings the instance back.
    In {
        /// How long the caller waits, in milliseconds; absent: the agent's `hook_timeout`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        patience_ms: Option<u64>,
    },
    /// An operator takes the instance out of traffic for good.
    Leave {
        /// How long that may take, in milliseconds; absent: the agent's `leave.budget`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        within_ms: Option<u64>,
        /// Whether the answer comes when all is done, or at once.
        waits: bool,
        /// How long the caller waits, in milliseconds; absent: the agent's `hook_timeout`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        patience_ms: Option<u64>,
    },
    /// Anybody asks what `leave` would do; nothing is done.
    LeavePlan {
        /// How long it might take, in milliseconds; absent: the agent's `leave.budget`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        within_ms: Option<u64>,
    },
    /// Anybody asks how things are.
    Status {},
    /// Anybody asks what happened.
    History {},
    /// The caller of this connection was told to stop.
    Cancel {},
}

/// What CodeDeploy told a hook script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// `LIFECYCLE_EVENT`.
    pub event: LifecycleEvent,
    /// `DEPLOYMENT_ID`.
    pub deployment: DeploymentId,
    /// `APPLICATION_NAME`.
    pub application: String,
    /// `DEPLOYMENT_GROUP_NAME`.
    pub group: String,
    /// `BUNDLE_…`.
    #[serde(default, skip_serializing_if = "Revision::is_unknown")]
    pub revision: Revision,
    /// How long the caller waits, in milliseconds; absent: the agent's `hook_timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience_ms: Option<u64>,
}

/// What the agent writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The call was taken and will be answered.
    Accepted {
        /// Within so many milliseconds.
        patience_ms: u64,
    },
    /// How the call will end; the end itself is still to come.
    Promised(Promised),
    /// What was promised no longer holds; the call waits as if it had never been.
    Retracted {},
    /// How things go, in one sentence.
    Progress(String),
    /// The end of a call.
    Answer(Answer),
    /// The end of a status request, or a [`LeavePlan`].
    Status(Value),
    /// The end of what was not taken.
    Refused(Refusal),
}

/// How a call will end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promised {
    /// What its end will say, whatever becomes of the agent.
    pub answer: Answer,
    /// It ends within so many milliseconds, unless the promise is taken back.
    pub within_ms: u64,
}

/// What leaving would do: the document that answers `leave_plan`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeavePlan {
    /// How the time would be shared out, and what would be taken out.
    #[serde(flatten)]
    pub core: pitcrew_core::leaving::LeavePlan,
    /// What runs in `drain.d`, in order; an error is why that cannot be said.
    pub scripts: Result<Vec<String>, String>,
    /// The tags that would be removed.
    pub remove_tags: Vec<String>,
}

/// Why the agent did not take a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For programs.
    pub reason: Reason,
    /// For people: why, and what to do.
    pub sentence: String,
}

/// Why the agent did not take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It was written in another version of the protocol.
    Version,
    /// It is no request.
    Malformed,
    /// The caller may not move traffic.
    Permission,
    /// The caller's user has too many connections.
    Busy,
    /// The agent is stopping.
    Stopping,
}

/// Why a line is not understood.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The other side speaks another version.
    #[error("the line is of protocol version {0}, this program speaks version {VERSION}")]
    Version(u64),
    /// The line is no JSON, or not what is spoken here.
    #[error("the line is not understood: {0}")]
    Malformed(serde_json::Error),
}

/// The line, newline included, that says `what`.
pub fn encode<T: Serialize>(what: &T) -> Vec<u8> {
    #[derive(Serialize)]
    struct Line<'a, T> {
        v: u64,
        #[serde(flatten)]
        what: &'a T,
    }
    // Strings, numbers and maps with string keys always serialize.
    let mut line = serde_json::to_vec(&Line { v: VERSION, what }).unwrap_or_default();
    line.push(b'\n');
    line
}

/// What a line says.
pub fn decode<T: DeserializeOwned>(line: &[u8]) -> Result<T, DecodeError> {
    let mut object: Map<String, Value> = serde_json::from_slice(line).map_err(DecodeError::Malformed)?;
    match object.remove("v").as_ref().and_then(Value::as_u64) {
        Some(VERSION) => T::deserialize(Value::Object(object)).map_err(DecodeError::Malformed),
        Some(other) => Err(DecodeError::Version(other)),
        None => Err(DecodeError::Malformed(serde::de::Error::missing_field("v"))),
    }
}

impl Request {
    /// The same request from a caller that waits for `patience`.
    pub(crate) fn with_patience(self, patience: Duration) -> Self {
        let patience_ms = Some(millis(patience));
        match self {
            Request::Hook(hook) => Request::Hook(Hook { patience_ms, ..hook }),
            Request::Out { ttl_ms, .. } => Request::Out { ttl_ms, patience_ms },
            Request::In { .. } => Request::In { patience_ms },
            Request::Leave { within_ms, waits, .. } => Request::Leave { within_ms, waits, patience_ms },
            Request::LeavePlan { within_ms } => Request::LeavePlan { within_ms },
            Request::Status {} => Request::Status {},
            Request::History {} => Request::History {},
            Request::Cancel {} => Request::Cancel {},
        }
    }
}

impl Hook {
    /// What the core is told; `patience` is for a caller that does not say how long it waits.
    pub(crate) fn into_call(self, patience: Duration) -> HookCall {
        HookCall {
            event: self.event,
            deployment: self.deployment,
            group: DeploymentGroup { application: self.application, name: self.group },
            revision: self.revision,
            patience: self.patience_ms.map_or(patience, Duration::from_millis),
        }
    }
}

#[cfg(test)]
mod tests;
