//! HTTP/1.1 connections to one address, kept open between requests where wished.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use http_body_util::BodyExt;
use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use super::{Body, Net};
use crate::lock::lock;

/// Sends requests to one address. Dropping it cuts every connection.
pub(crate) struct Pool {
    net: Arc<dyn Net>,
    from: IpAddr,
    to: SocketAddr,
    keep_alive: bool,
    connections: Mutex<Connections>,
}

struct Connections {
    idle: Vec<SendRequest<Body>>,
    /// One task for each open connection; aborting it cuts the connection.
    open: JoinSet<()>,
    cut: bool,
}

/// Why a request got no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The connection could not be opened.
    #[error("connecting failed: {}", cause(.0))]
    Connect(#[source] io::Error),
    /// The connection ended before a response had arrived.
    #[error("no response: {}", cause(.0))]
    Response(#[source] hyper::Error),
    /// The pool was cut while the request was in flight.
    #[error("cut in flight")]
    Cut,
}

impl Pool {
    pub(crate) fn new(net: Arc<dyn Net>, from: IpAddr, to: SocketAddr, keep_alive: bool) -> Self {
        let nothing = Connections { idle: Vec::new(), open: JoinSet::new(), cut: false };
        let connections = Mutex::new(nothing);
        Self { net, from, to, keep_alive, connections }
    }

    /// Sends a request on an idle connection, or on a new one when there is none. Never twice.
    pub(crate) async fn send(self: &Arc<Self>, mut request: Request<Body>) -> Result<Response<Body>, Failure> {
        if !self.keep_alive {
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let mut connection = match self.idle().await {
            Some(connection) => connection,
            None => self.open().await?,
        };
        match connection.send_request(request).await {
            Ok(response) => Ok(response.map(|body| PooledBody::new(body, connection, self.clone()).boxed_unsync())),
            Err(_) if lock(&self.connections).cut => Err(Failure::Cut),
            Err(error) => Err(Failure::Response(error)),
        }
    }

    /// Closes the connections that carry nothing.
    pub(crate) fn close_idle(&self) {
        lock(&self.connections).idle.clear();
    }

    /// Cuts every connection with whatever it carries: the end of this pool.
    pub(crate) fn cut(&self) {
        let mut connections = lock(&self.connections);
        connections.cut = true;
        connections.idle.clear();
        connections.open.abort_all();
    }

    async fn idle(&self) -> Option<SendRequest<Body>> {
        loop {
            let mut connection = lock(&self.connections).idle.pop()?;
            if connection.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    async fn open(&self) -> Result<SendRequest<Body>, Failure> {
        let stream = self.net.connect(self.from, self.to).await.map_err(Failure::Connect)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Failure::Response)?;
        let mut connections = lock(&self.connections);
        while connections.open.try_join_next().is_some() {}
        connections.open.spawn(async move {
            // The request that the connection carried has been told.
            connection.await.ok();
        });
        Ok(sender)
    }

    fn take_back(&self, connection: SendRequest<Body>) {
        if self.keep_alive && !connection.is_closed() {
            lock(&self.connections).idle.push(connection);
        }
    }
}

/// A response's body; at its end, the connection goes back to the pool.
struct PooledBody {
    body: Incoming,
    home: Option<(SendRequest<Body>, Arc<Pool>)>,
}

impl PooledBody {
    fn new(body: Incoming, connection: SendRequest<Body>, pool: Arc<Pool>) -> Self {
        let mut pooled = Self { body, home: Some((connection, pool)) };
        if pooled.body.is_end_stream() {
            pooled.release();
        }
        pooled
    }

    fn release(&mut self) {
        if let Some((connection, pool)) = self.home.take() {
            pool.take_back(connection);
        }
    }
}

impl hyper::body::Body for PooledBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(_)) if !self.body.is_end_stream() => {}
            Some(Ok(_)) | None => self.release(),
            Some(Err(_)) => self.home = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The innermost reason, in the same words on every network.
fn cause(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match innermost.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(
            kind @ (io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe),
        ) => kind.to_string(),
        Some(_) | None => innermost.to_string(),
    }
}
