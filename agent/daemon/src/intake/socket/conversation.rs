//! One connection, from its request line to its end.

use std::time::Duration;

use pitcrew_core::ids::CallId;
use pitcrew_core::time::millis;
use pitcrew_core::wire::OperatorRequest;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{CallEvent, End, Limits, OnTheWay, Peer, Replies, Request, Server};
use crate::protocol::{
    self, DecodeError, LineError, Lines, REQUEST_LIMIT, Reason, Refusal, Reply, VERSION, decode, encode,
};

/// Holds a conversation. `number` gives the call its id, if one is made.
pub(super) async fn hold<S, I>(server: &Server<I>, stream: S, peer: Peer, number: impl FnOnce() -> CallId)
where
    S: AsyncRead + AsyncWrite,
    I: From<CallEvent>,
{
    let mut caller = Caller::new(stream, &server.limits);
    let request = match request(server, &mut caller.lines, peer).await {
        Ok(Some(request)) => request,
        Ok(None) => return,
        Err(refusal) => return caller.end(Reply::Refused(refusal)).await,
    };
    let (on_the_way, mut words) = mpsc::channel(server.limits.progress_kept);
    let (end, mut ended) = oneshot::channel();
    let call = number();
    let patience = request.patience();
    let arrived = CallEvent::Arrived { call, request, replies: Replies { on_the_way, end } };
    if server.engine.send(arrived.into()).await.is_err() {
        return caller.end(refused(Reason::Stopping, "the agent is stopping; call again")).await;
    }
    let abandon = async || {
        if patience.is_some() {
            let _ = server.engine.send(CallEvent::Abandoned { call }.into()).await;
        }
    };
    if let Some(patience) = patience
        && !caller.hears(&Reply::Accepted { patience_ms: millis(patience) }).await
    {
        return abandon().await;
    }
    let mut listening = true;
    loop {
        let word = tokio::select! {
            biased;
            Some(word) = words.recv() => match word {
                OnTheWay::Promise(promised) => Reply::Promised(promised),
                OnTheWay::Retract => Reply::Retracted {},
                OnTheWay::Progress(sentence) => Reply::Progress(sentence),
            },
            end = &mut ended => return match end {
                Ok(End::Answer(answer)) => caller.end(Reply::Answer(answer)).await,
                Ok(End::Status(document)) => caller.end(Reply::Status(document)).await,
                // The engine is gone. Closing tells the caller to call the next one.
                Err(_) => {}
            },
            line = caller.lines.next(), if listening => match Said::of(line) {
                Said::Cancel => {
                    // Once is enough; the answer is still to come.
                    listening = false;
                    abandon().await;
                    continue;
                }
                // Whoever asks for the status may close its half and read on.
                Said::Goodbye if patience.is_none() => {
                    listening = false;
                    continue;
                }
                Said::Goodbye => return abandon().await,
                Said::Nonsense(refusal) => {
                    abandon().await;
                    return caller.end(refusal).await;
                }
            },
        };
        if !caller.hears(&word).await {
            return abandon().await;
        }
    }
}

/// Ends a connection that is one too many.
pub(super) async fn turn_away<S: AsyncRead + AsyncWrite>(limits: &Limits, stream: S, peer: Peer) {
    let sentence = format!("user {} has too many calls open at once; wait for some to end", peer.uid);
    Caller::new(stream, limits).end(refused(Reason::Busy, sentence)).await;
}

/// Reads the request line; `None` where the peer only looked whether somebody is there.
async fn request<I, R: AsyncRead + Unpin>(
    server: &Server<I>,
    lines: &mut Lines<R>,
    peer: Peer,
) -> Result<Option<Request>, Refusal> {
    let line = match timeout(server.limits.request_within, lines.next()).await {
        Ok(Ok(Some(line))) => line,
        Ok(Ok(None) | Err(LineError::Broken(_))) => return Ok(None),
        Ok(Err(error @ LineError::TooLong(_))) => return Err(refusal(Reason::Malformed, error)),
        Err(_) => return Err(refusal(Reason::Malformed, "no request came")),
    };
    let request = decode::<protocol::Request>(&line).map_err(misunderstood)?;
    let patience = |ms: Option<u64>| ms.map_or(server.patience, Duration::from_millis);
    let request = match request {
        protocol::Request::Status {} => return Ok(Some(Request::Status)),
        protocol::Request::History {} => return Ok(Some(Request::History)),
        protocol::Request::LeavePlan { within_ms } => {
            return Ok(Some(Request::LeavePlan(within_ms.map(Duration::from_millis))));
        }
        protocol::Request::Cancel {} => {
            return Err(refusal(Reason::Malformed, "there is no call to cancel"));
        }
        protocol::Request::Hook(hook) => Request::Hook(hook.into_call(server.patience)),
        protocol::Request::Out { ttl_ms, patience_ms } => {
            let ttl = ttl_ms.map(Duration::from_millis);
            Request::Operator(OperatorRequest::Out { ttl, patience: patience(patience_ms) })
        }
        protocol::Request::In { patience_ms } => {
            Request::Operator(OperatorRequest::In { patience: patience(patience_ms) })
        }
        protocol::Request::Leave { within_ms, waits, patience_ms } => {
            let within = within_ms.map(Duration::from_millis);
            Request::Operator(OperatorRequest::Leave { within, waits, patience: patience(patience_ms) })
        }
    };
    match server.access.may_move_traffic(peer).await {
        true => Ok(Some(request)),
        false => Err(refusal(Reason::Permission, server.access.refusal(peer))),
    }
}

impl Request {
    /// How long the caller waits; `None` where it is answered at once.
    fn patience(&self) -> Option<Duration> {
        match self {
            Request::Hook(hook) => Some(hook.patience),
            Request::Operator(
                OperatorRequest::Out { patience, .. }
                | OperatorRequest::In { patience }
                | OperatorRequest::Leave { patience, .. },
            ) => Some(*patience),
            Request::Status | Request::History | Request::LeavePlan(_) => None,
        }
    }
}

/// What a caller says while it waits.
enum Said {
    Cancel,
    Goodbye,
    Nonsense(Reply),
}

impl Said {
    fn of(line: Result<Option<Vec<u8>>, LineError>) -> Self {
        let line = match line {
            Ok(Some(line)) => line,
            Ok(None) | Err(LineError::Broken(_)) => return Said::Goodbye,
            Err(error @ LineError::TooLong(_)) => {
                return Said::Nonsense(refused(Reason::Malformed, error));
            }
        };
        match decode::<protocol::Request>(&line) {
            Ok(protocol::Request::Cancel {}) => Said::Cancel,
            Ok(
                protocol::Request::Hook(_)
                | protocol::Request::Out { .. }
                | protocol::Request::In { .. }
                | protocol::Request::Leave { .. }
                | protocol::Request::History {}
                | protocol::Request::LeavePlan { .. }
                | protocol::Request::Status {},
            ) => Said::Nonsense(refused(Reason::Malformed, "one connection carries one request")),
            Err(error) => Said::Nonsense(Reply::Refused(misunderstood(error))),
        }
    }
}

/// The other end of a connection.
struct Caller<S> {
    lines: Lines<ReadHalf<S>>,
    writer: WriteHalf<S>,
    within: Duration,
}

impl<S: AsyncRead + AsyncWrite> Caller<S> {
    fn new(stream: S, limits: &Limits) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self { lines: Lines::new(reader, REQUEST_LIMIT), writer, within: limits.reply_within }
    }

    /// Writes a reply; false where the caller is gone, or does not read.
    async fn hears(&mut self, reply: &Reply) -> bool {
        let line = encode(reply);
        let write = async {
            self.writer.write_all(&line).await?;
            self.writer.flush().await
        };
        matches!(timeout(self.within, write).await, Ok(Ok(())))
    }

    /// Writes the last reply.
    async fn end(mut self, reply: Reply) {
        if self.hears(&reply).await {
            let _ = timeout(self.within, self.writer.shutdown()).await;
        }
    }
}

fn misunderstood(error: DecodeError) -> Refusal {
    match error {
        DecodeError::Version(theirs) => refusal(
            Reason::Version,
            format!(
                "the caller speaks protocol version {theirs} and the agent version {VERSION}; restart the agent \
                 after an upgrade (systemctl restart pitcrew)"
            ),
        ),
        error @ DecodeError::Malformed(_) => refusal(Reason::Malformed, error),
    }
}

fn refusal(reason: Reason, sentence: impl ToString) -> Refusal {
    Refusal { reason, sentence: sentence.to_string() }
}

fn refused(reason: Reason, sentence: impl ToString) -> Reply {
    Reply::Refused(refusal(reason, sentence))
}
