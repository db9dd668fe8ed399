//! Owns the agent's socket: takes calls from hooks and operators, tells the engine, and carries its answers back.

mod access;
mod conversation;
mod listener;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pitcrew_core::ids::CallId;
use pitcrew_core::time::millis;
use pitcrew_core::wire::{Answer, HookCall, OperatorRequest};
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::protocol::Promised;

pub use access::Access;
pub use listener::{BindError, Dialer, InProcess, Listener, Peer, UnixSocket, in_process};

/// What the engine is told. `Arrived` comes first and once; `Abandoned` may follow until the call is answered,
/// and shortly after.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "calls are few, and each is moved once")]
pub enum CallEvent {
    /// Somebody called.
    Arrived {
        /// Names the call; counted from 1 within a run.
        call: CallId,
        /// What is asked.
        request: Request,
        /// Where the answer goes.
        replies: Replies,
    },
    /// The caller was told to stop, or is gone.
    Abandoned {
        /// Which call.
        call: CallId,
    },
}

/// What is asked, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// By a hook script.
    Hook(HookCall),
    /// By an operator.
    Operator(OperatorRequest),
    /// By anybody.
    Status,
    /// By anybody: what happened.
    History,
    /// By anybody: what leaving within this time would do.
    LeavePlan(Option<Duration>),
}

/// The way back to one caller. Nothing here waits: a caller that does not read loses progress, never its answer.
/// Dropped without an end, it closes the connection, and the caller calls again.
#[derive(Debug)]
pub struct Replies {
    on_the_way: mpsc::Sender<OnTheWay>,
    end: oneshot::Sender<End>,
}

/// What a caller is told before its end.
#[derive(Debug)]
enum OnTheWay {
    Promise(Promised),
    Retract,
    Progress(String),
}

#[derive(Debug)]
enum End {
    Answer(Answer),
    Status(Value),
}

impl Replies {
    /// Tells the caller how things go, if it listens.
    pub fn progress(&self, sentence: impl Into<String>) {
        self.tell(OnTheWay::Progress(sentence.into()));
    }

    /// Tells the caller how its call will end, within what time, if it listens.
    pub fn promise(&self, answer: Answer, within: Duration) {
        self.tell(OnTheWay::Promise(Promised { answer, within_ms: millis(within) }));
    }

    /// Tells the caller that its call may end otherwise, if it listens.
    pub fn retract(&self) {
        self.tell(OnTheWay::Retract);
    }

    fn tell(&self, what: OnTheWay) {
        // Full: the caller is slow. Closed: it is gone, and its conversation says so to the engine.
        let _ = self.on_the_way.try_send(what);
    }

    /// Ends a hook's or an operator's call.
    pub fn answer(self, answer: Answer) {
        let _ = self.end.send(End::Answer(answer));
    }

    /// Ends a question with the document that answers it.
    pub fn status(self, document: Value) {
        let _ = self.end.send(End::Status(document));
    }
}

/// How much the socket takes upon itself.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections of one user at a time; nobody can keep another user's hooks out.
    pub connections_per_user: usize,
    /// From the connection to the whole request line.
    pub request_within: Duration,
    /// For a reply to leave while the caller does not read.
    pub reply_within: Duration,
    /// Sentences kept for a slow caller.
    pub progress_kept: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_per_user: 32,
            request_within: Duration::from_secs(5),
            reply_within: Duration::from_secs(5),
            progress_kept: 16,
        }
    }
}

/// The socket's server.
pub struct Server<I> {
    /// Who may move traffic.
    pub access: Access,
    /// How much is taken on.
    pub limits: Limits,
    /// The patience of a caller that does not state its own.
    pub patience: Duration,
    /// Where calls go.
    pub engine: mpsc::Sender<I>,
}

impl<I: From<CallEvent> + Send + 'static> Server<I> {
    /// Serves until it is dropped; that closes every connection.
    pub async fn serve<L: Listener>(self, mut listener: L) {
        let server = Arc::new(self);
        let calls = Arc::new(AtomicU64::new(1));
        let mut seats: BTreeMap<u32, Arc<Semaphore>> = BTreeMap::new();
        let mut conversations = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                Some(_) = conversations.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "accepting a connection failed");
                    // Out of descriptors, most likely: let some conversations end.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let limit = server.limits.connections_per_user;
            seats.retain(|_, seats| seats.available_permits() < limit);
            let seats = seats.entry(peer.uid).or_insert_with(|| Arc::new(Semaphore::new(limit)));
            let seat = seats.clone().try_acquire_owned();
            let (server, calls) = (server.clone(), calls.clone());
            conversations.spawn(async move {
                let number = || CallId(calls.fetch_add(1, Ordering::Relaxed));
                match seat {
                    Ok(_seat) => conversation::hold(&server, stream, peer, number).await,
                    Err(_) => {
                        debug!(uid = peer.uid, "too many connections");
                        conversation::turn_away(&server.limits, stream, peer).await;
                    }
                }
            });
        }
    }
}

#[cfg(test)]
mod tests;
