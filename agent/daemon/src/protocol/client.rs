//! Makes one call on the agent's socket, over restarts of the agent, until it is answered.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use pitcrew_core::time::Spoken;
use pitcrew_core::wire::Answer;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::{DecodeError, LineError, Lines, REPLY_LIMIT, Reason, Refusal, Reply, Request, VERSION, decode, encode};

/// How a call can end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A hook or an operator was answered.
    Answer(Answer),
    /// How things are, or would be.
    Status(Value),
}

/// How a call can end otherwise. The text is for the caller's last line.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No agent was there for as long as the caller waits for one. `last` says what the last try met.
    #[error("no answer from the agent: {last}; is it running? (systemctl status pitcrew)")]
    Unreachable {
        /// What the last try met.
        last: String,
    },
    /// The socket may not be opened.
    #[error("not allowed to open the agent's socket; run as root or as a member of group `pitcrew`")]
    NotAllowed(#[source] io::Error),
    /// The agent speaks another version.
    #[error(
        "the agent speaks protocol version {theirs} and this program version {VERSION}; restart the agent after an \
         upgrade (systemctl restart pitcrew)"
    )]
    Foreign {
        /// The agent's version.
        theirs: u64,
    },
    /// The agent does not take the call.
    #[error("{}", .0.sentence)]
    Refused(Refusal),
    /// The agent broke its promise to answer in time.
    #[error("the agent took the call and did not answer within {}", Spoken(*.0))]
    Late(Duration),
    /// The caller was told to stop, and no agent said in time what it undid.
    #[error("{}", match told {
        true => "told to stop; the agent was told so too and restores the state before",
        false => "told to stop while no agent had the call",
    })]
    Cancelled {
        /// Whether an agent knows.
        told: bool,
    },
}

impl CallError {
    /// The exit status that names this end.
    pub fn exit_status(&self) -> u8 {
        match self {
            CallError::Unreachable { .. } | CallError::Foreign { .. } => 69,
            CallError::Late(_) | CallError::Cancelled { .. } => 75,
            CallError::NotAllowed(_) => 78,
            CallError::Refused(refusal) => match refusal.reason {
                Reason::Version | Reason::Busy | Reason::Stopping => 69,
                Reason::Malformed => 64,
                Reason::Permission => 78,
            },
        }
    }
}

/// How long the caller waits, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// For an agent that is absent or restarting; counted anew when one that had taken the call goes away.
    pub for_agent: Duration,
    /// For the answer to a cancelled call. CodeDeploy kills a hook 5 s after SIGTERM.
    pub for_undo: Duration,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { for_agent: Duration::from_secs(15), for_undo: Duration::from_millis(4500) }
    }
}

/// An agent that promised to answer within its caller's patience gets this much more before it is given up.
const GRACE: Duration = Duration::from_secs(5);

/// Makes a call and waits for its end. `connect` opens a connection to the agent, as often as that is needed;
/// `cancelled` ends when the caller is told to stop; `progress` takes each sentence on the way.
pub async fn call<C, F, S>(
    connect: C,
    mut request: Request,
    waiting: Waiting,
    cancelled: impl Future<Output = ()>,
    progress: &mut impl FnMut(&str),
) -> Result<End, CallError>
where
    C: Fn() -> F,
    F: Future<Output = io::Result<S>>,
    S: AsyncRead + AsyncWrite,
{
    tokio::pin!(cancelled);
    let mut agent_by = Instant::now() + waiting.for_agent;
    let mut promise = None;
    let mut settled = None;
    let mut pause = Duration::from_millis(50);
    loop {
        let mut attempt = Attempt {
            request: &request,
            agent_by,
            promise,
            settled,
            cancelled: cancelled.as_mut(),
            for_undo: waiting.for_undo,
            accepted: false,
            promised: false,
        };
        let lost = match attempt.make(&connect, progress).await {
            Ok(end) => return Ok(end),
            Err(Trouble::Final(error)) => return Err(error),
            Err(Trouble::Lost(lost)) => lost,
        };
        let accepted = attempt.accepted;
        promise = attempt.promise;
        settled = attempt.settled;
        if accepted {
            progress("the agent went away before it answered; waiting to call it again");
            agent_by = Instant::now() + waiting.for_agent;
            pause = Duration::from_millis(50);
        }
        let give_up = settled.as_ref().map_or(agent_by, |settled| settled.by);
        tokio::select! {
            biased;
            () = cancelled.as_mut() => return Err(CallError::Cancelled { told: false }),
            () = sleep_until(give_up) => return match settled {
                Some(settled) => Ok(End::Answer(settled.answer)),
                None => Err(lost.into_error()),
            },
            () = sleep(pause) => pause = (pause * 2).min(Duration::from_millis(500)),
        }
        if let Some(Promise { by, patience }) = promise {
            let now = Instant::now();
            // Agents that die of this very call would be called for ever.
            if now > by + GRACE {
                return Err(CallError::Late(patience));
            }
            request = request.with_patience(by.saturating_duration_since(now));
        }
    }
}

/// The agent answers until then; it was given `patience`.
#[derive(Clone, Copy)]
struct Promise {
    by: Instant,
    patience: Duration,
}

/// How the call ends `by` then, unless an agent says otherwise before that.
struct Settled {
    answer: Answer,
    by: Instant,
}

/// Why a connection did not lead to an end.
enum Trouble {
    /// Another connection would not help.
    Final(CallError),
    /// Another connection may help.
    Lost(Lost),
}

/// What another connection may help against.
enum Lost {
    Connection(String),
    Refused(Refusal),
}

impl Lost {
    fn into_error(self) -> CallError {
        match self {
            Lost::Connection(last) => CallError::Unreachable { last },
            Lost::Refused(refusal) => CallError::Refused(refusal),
        }
    }
}

/// One connection's worth of a call.
struct Attempt<'a, X> {
    request: &'a Request,
    agent_by: Instant,
    promise: Option<Promise>,
    settled: Option<Settled>,
    cancelled: Pin<&'a mut X>,
    for_undo: Duration,
    accepted: bool,
    /// Whether this agent said how the call ends.
    promised: bool,
}

impl<X: Future<Output = ()>> Attempt<'_, X> {
    async fn make<C, F, S>(&mut self, connect: &C, progress: &mut impl FnMut(&str)) -> Result<End, Trouble>
    where
        C: Fn() -> F,
        F: Future<Output = io::Result<S>>,
        S: AsyncRead + AsyncWrite,
    {
        let give_up = self.give_up();
        let stream = tokio::select! {
            biased;
            () = self.cancelled.as_mut() => return Err(Trouble::Final(CallError::Cancelled { told: false })),
            stream = timeout_at(give_up, connect()) => match stream {
                Err(_) => return Err(Trouble::lost("it does not accept the connection")),
                Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(Trouble::Final(CallError::NotAllowed(error)));
                }
                Ok(Err(error)) => return Err(Trouble::lost(error)),
                Ok(Ok(stream)) => stream,
            },
        };
        let (reader, mut writer) = tokio::io::split(stream);
        let mut lines = Lines::new(reader, REPLY_LIMIT);
        send(&mut writer, self.request).await;
        loop {
            let give_up = self.give_up();
            let line = tokio::select! {
                biased;
                line = lines.next() => line,
                () = self.cancelled.as_mut() => return self.undo(writer, lines, progress).await,
                () = sleep_until(give_up) => return self.silence(),
            };
            match self.hear(line, progress)? {
                Some(end) => return Ok(end),
                None => continue,
            }
        }
    }

    /// Until when this connection is worth waiting for. An agent that took the call has a moment more to say itself how it
    /// ends.
    fn give_up(&self) -> Instant {
        match (&self.settled, self.promise) {
            (Some(settled), _) if self.accepted => settled.by + GRACE,
            (Some(settled), _) => settled.by,
            (None, Some(promise)) if self.accepted => promise.by + GRACE,
            (None, Some(_) | None) => self.agent_by,
        }
    }

    /// Tells the agent to stop and gives it a moment to say what it undid.
    async fn undo<S: AsyncRead + AsyncWrite>(
        &mut self,
        mut writer: WriteHalf<S>,
        mut lines: Lines<ReadHalf<S>>,
        progress: &mut impl FnMut(&str),
    ) -> Result<End, Trouble> {
        let cancelled = || Trouble::Final(CallError::Cancelled { told: true });
        let until = Instant::now() + self.for_undo;
        send(&mut writer, &Request::Cancel {}).await;
        loop {
            let line = timeout_at(until, lines.next()).await.map_err(|_| cancelled())?;
            match self.hear(line, progress) {
                Ok(Some(end)) => return Ok(end),
                Ok(None) => continue,
                Err(Trouble::Final(error)) => return Err(Trouble::Final(error)),
                Err(Trouble::Lost(_)) => return Err(cancelled()),
            }
        }
    }

    /// Takes one line of the agent; the end, if it is one.
    fn hear(
        &mut self,
        line: Result<Option<Vec<u8>>, LineError>,
        progress: &mut impl FnMut(&str),
    ) -> Result<Option<End>, Trouble> {
        let line = match line {
            Ok(Some(line)) => line,
            Ok(None) => return Err(Trouble::lost("it closed the connection")),
            Err(error) => return Err(Trouble::lost(error)),
        };
        match decode::<Reply>(&line) {
            Ok(Reply::Accepted { patience_ms }) => {
                let patience = Duration::from_millis(patience_ms);
                let by = Instant::now().checked_add(patience);
                self.accepted = true;
                // The first promise stands: the caller's own time does not begin anew with another agent.
                self.promise = self.promise.or(by.map(|by| Promise { by, patience }));
                Ok(None)
            }
            Ok(Reply::Progress(sentence)) => {
                // The notice may have been withdrawn while no agent was there to say so.
                if !self.promised {
                    self.settled = None;
                }
                progress(&sentence);
                Ok(None)
            }
            Ok(Reply::Promised(promised)) => {
                progress(&promised.answer.sentence);
                let by = Instant::now().checked_add(Duration::from_millis(promised.within_ms));
                self.settled = by.map(|by| Settled { answer: promised.answer, by });
                self.promised = true;
                Ok(None)
            }
            Ok(Reply::Retracted {}) => {
                self.settled = None;
                Ok(None)
            }
            Ok(Reply::Answer(answer)) => Ok(Some(End::Answer(answer))),
            Ok(Reply::Status(document)) => Ok(Some(End::Status(document))),
            Ok(Reply::Refused(refusal)) => match refusal.reason {
                Reason::Busy | Reason::Stopping => Err(Trouble::Lost(Lost::Refused(refusal))),
                Reason::Version | Reason::Malformed | Reason::Permission => {
                    Err(Trouble::Final(CallError::Refused(refusal)))
                }
            },
            Err(DecodeError::Version(theirs)) => Err(Trouble::Final(CallError::Foreign { theirs })),
            Err(error @ DecodeError::Malformed(_)) => Err(Trouble::lost(error)),
        }
    }

    fn silence(&mut self) -> Result<End, Trouble> {
        match (self.settled.take(), self.promise) {
            (Some(settled), _) => Ok(End::Answer(settled.answer)),
            (None, Some(promise)) if self.accepted => Err(Trouble::Final(CallError::Late(promise.patience))),
            (None, Some(_) | None) => Err(Trouble::lost("it does not take the call")),
        }
    }
}

impl Trouble {
    fn lost(last: impl ToString) -> Self {
        Trouble::Lost(Lost::Connection(last.to_string()))
    }
}

/// Writes a request. Where that fails, what the agent wrote before it closed, or the end of that, says why.
async fn send<W: AsyncWrite + Unpin>(writer: &mut W, request: &Request) {
    if writer.write_all(&encode(request)).await.is_ok() {
        let _ = writer.flush().await;
    }
}
