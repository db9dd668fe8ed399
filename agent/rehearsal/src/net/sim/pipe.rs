//! The two ends of one simulated connection: what is written at one arrives later at the other.

use std::cmp::max;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use fastrand::Rng;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Closing, LATENCY_MICROS};
use crate::lock::lock;

/// What one direction holds before its writer has to wait, as a socket buffer does.
const CAPACITY: usize = 256 * 1024;

/// Makes both ends of a connection; `seeds` draw the latency of each direction.
pub(super) fn connection(seeds: [u64; 2], closing: Arc<Closing>) -> (End, End) {
    let [there, back] = seeds.map(|seed| Arc::new(Mutex::new(Pipe::new(seed))));
    let near = End::new(back.clone(), there.clone(), closing.clone());
    let far = End::new(there, back, closing);
    (near, far)
}

/// One end of a connection. Dropped without a shutdown, it resets the connection, as a process
/// does that dies.
pub(super) struct End {
    incoming: Arc<Mutex<Pipe>>,
    outgoing: Arc<Mutex<Pipe>>,
    alarm: Option<Pin<Box<Sleep>>>,
    closing: Arc<Closing>,
}

/// One direction of a connection.
struct Pipe {
    rng: Rng,
    chunks: VecDeque<Chunk>,
    size: usize,
    /// When the last thing written arrives; nothing overtakes.
    latest: Instant,
    ending: Option<Ending>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    abandoned: bool,
}

struct Chunk {
    arrives: Instant,
    bytes: Bytes,
}

#[derive(Clone, Copy)]
struct Ending {
    arrives: Instant,
    how: How,
}

#[derive(Clone, Copy)]
enum How {
    Finished,
    Reset,
}

/// What a reader finds.
enum Found {
    Bytes,
    Ended(How),
    OnItsWay(Instant),
    Nothing,
}

impl End {
    fn new(incoming: Arc<Mutex<Pipe>>, outgoing: Arc<Mutex<Pipe>>, closing: Arc<Closing>) -> Self {
        Self { incoming, outgoing, alarm: None, closing }
    }

    fn wait_until(&mut self, arrives: Instant, context: &mut Context<'_>) -> Poll<()> {
        let alarm = match &mut self.alarm {
            Some(alarm) => {
                if alarm.deadline() != arrives {
                    alarm.as_mut().reset(arrives);
                }
                alarm
            }
            None => self.alarm.insert(Box::pin(sleep_until(arrives))),
        };
        alarm.as_mut().poll(context)
    }
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let found = lock(&self.incoming).read(context, buffer);
            match found {
                Found::Bytes | Found::Ended(How::Finished) => return Poll::Ready(Ok(())),
                Found::Ended(How::Reset) => {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                Found::OnItsWay(arrives) => ready!(self.wait_until(arrives, context)),
                Found::Nothing => return Poll::Pending,
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        lock(&self.outgoing).write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.outgoing).end(How::Finished);
        self.closing.closed();
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        lock(&self.outgoing).end(How::Reset);
        lock(&self.incoming).abandon();
        self.closing.closed();
    }
}

impl Pipe {
    fn new(seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            chunks: VecDeque::new(),
            size: 0,
            latest: Instant::now(),
            ending: None,
            reader: None,
            writer: None,
            abandoned: false,
        }
    }

    fn read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Found {
        let now = Instant::now();
        if let Some(chunk) = self.chunks.front_mut() {
            if chunk.arrives > now {
                return Found::OnItsWay(chunk.arrives);
            }
            let taken = chunk.bytes.len().min(buffer.remaining());
            buffer.put_slice(&chunk.bytes[..taken]);
            chunk.bytes.advance(taken);
            if chunk.bytes.is_empty() {
                self.chunks.pop_front();
            }
            self.size -= taken;
            wake(&mut self.writer);
            return Found::Bytes;
        }
        match self.ending {
            Some(ending) if ending.arrives > now => Found::OnItsWay(ending.arrives),
            Some(ending) => Found::Ended(ending.how),
            None => {
                self.reader = Some(context.waker().clone());
                Found::Nothing
            }
        }
    }

    fn write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.abandoned || self.ending.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = CAPACITY.saturating_sub(self.size);
        if room == 0 {
            self.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let taken = bytes.len().min(room);
        let arrives = self.arrival();
        self.chunks.push_back(Chunk { arrives, bytes: Bytes::copy_from_slice(&bytes[..taken]) });
        self.size += taken;
        wake(&mut self.reader);
        Poll::Ready(Ok(taken))
    }

    /// Ends this direction; what was written before still arrives.
    fn end(&mut self, how: How) {
        if self.ending.is_none() {
            let arrives = self.arrival();
            self.ending = Some(Ending { arrives, how });
            wake(&mut self.reader);
        }
    }

    /// Says that nobody reads any more.
    fn abandon(&mut self) {
        self.abandoned = true;
        wake(&mut self.writer);
    }

    fn arrival(&mut self) -> Instant {
        let latency = Duration::from_micros(self.rng.u64(LATENCY_MICROS));
        self.latest = max(self.latest, Instant::now() + latency);
        self.latest
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
