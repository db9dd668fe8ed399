//! The agent's own HTTP server: how this instance is, for balancers, scrapers and people. It reads snapshots, so nobody
//! who asks can slow the engine down, and it takes on no more than it can bear.

mod hcs;
mod page;
mod seats;
mod site;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::TcpUserTimeout;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::report::metrics::families as of;
pub use page::screen;
use seats::{Seat, Seats};
pub use site::{Audience, Site};

/// How much the server takes upon itself, on each address.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time. One more makes the oldest one close that is not being answered.
    pub connections: usize,
    /// Of them, those that follow what happens: each is kept for as long as its reader likes.
    pub followers: usize,
    /// From the connection, or from the last answer, to the whole head of the next request.
    pub head_within: Duration,
    /// From the whole head until the answer is found, body of the request included.
    pub answer_within: Duration,
    /// A reader that takes nothing of an answer for so long is given up, whether it is there or not.
    pub taken_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            followers: 4,
            head_within: Duration::from_secs(15),
            answer_within: Duration::from_secs(15),
            taken_within: Duration::from_secs(15),
        }
    }
}

/// An address that cannot be listened on is tried again after this long.
const BIND_AGAIN: Duration = Duration::from_secs(30);

/// The longest head of a request, which is the least that hyper can be told.
const LONGEST_HEAD: usize = 8 * 1024;

/// The most headers of a request.
const MOST_HEADERS: usize = 64;

/// Serves `audience` on `address` until it is dropped. An address that is taken is said once and tried again: traffic
/// must be kept right whether or not anybody can look on.
pub async fn serve_at(address: SocketAddr, site: Arc<Site>, audience: Audience, limits: Limits) {
    let mut said = false;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) if !said => {
                warn!(%address, %error, "nobody can ask how this instance is: the address cannot be listened on");
                said = true;
            }
            Err(error) => debug!(%address, %error, "the address still cannot be listened on"),
        }
        tokio::time::sleep(BIND_AGAIN).await;
    };
    info!(%address, "answering how this instance is");
    serve(listener, site, audience, limits).await;
}

/// Serves `audience` on `listener` until it is dropped.
pub async fn serve(listener: TcpListener, site: Arc<Site>, audience: Audience, limits: Limits) {
    let seats = Seats::new(limits.connections, site.metrics.clone());
    let mut conversations = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            Some(_) = conversations.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                give_up_after(&stream, limits.taken_within);
                let seat = seats.take();
                let (site, busy) = (site.clone(), seat.busy());
                let handle = conversations.spawn(converse(stream, site, audience, limits, seat));
                seats.fill(handle, busy);
            }
            Err(error) => {
                warn!(%error, "accepting an HTTP connection failed");
                pause(&error).await;
            }
        }
    }
}

/// Has the kernel end a connection on which something has waited for so long to be taken or acknowledged.
fn give_up_after(stream: &TcpStream, taken_within: Duration) {
    let ms = u32::try_from(taken_within.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = setsockopt(stream, TcpUserTimeout, &ms) {
        debug!(%error, "a reader that takes nothing keeps its place until a newcomer needs it");
    }
}

/// Out of descriptors, most likely: let some conversations end.
async fn pause(error: &io::Error) {
    let its_own_fault = matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset);
    if !its_own_fault {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn converse(stream: TcpStream, site: Arc<Site>, audience: Audience, limits: Limits, seat: Seat) {
    let end = talk(stream, &site, audience, limits, seat.busy()).await;
    site.metrics.count(&of::HTTP_CONNECTIONS, &[end]);
    seat.leave();
}

/// One conversation over whatever carries bytes, to its end: `closed`, `slow` or `garbage`. `busy` is set while an answer
/// is looked for.
pub async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    site: &Site,
    audience: Audience,
    limits: Limits,
    busy: Arc<AtomicBool>,
) -> &'static str {
    let served = AtomicBool::new(false);
    let service = service_fn(|request| {
        served.store(true, Ordering::Relaxed);
        let busy = busy.clone();
        async move { Ok::<_, std::convert::Infallible>(site.answer(request, audience, limits, busy).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_within)
        .max_buf_size(LONGEST_HEAD)
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let outcome = pin!(connection).await;
    match outcome {
        Err(error) if error.is_timeout() && served.load(Ordering::Relaxed) => "closed",
        Err(error) if error.is_timeout() || is_timed_out(&error) => "slow",
        Err(error) if error.is_parse() => "garbage",
        Ok(()) | Err(_) => "closed",
    }
}

/// Whether the kernel gave the reader up.
fn is_timed_out(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests;
