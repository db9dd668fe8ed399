//! HTTP/1.1 served on any network, until the future is dropped.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::select;
use tokio::task::JoinSet;

use super::{Body, BoxFuture, Listener, Stream};

/// Answers every request on every connection with `handler`, which is given the client's address.
///
/// Returns only when the listener fails. Dropping the future closes the listener and cuts every
/// connection, whatever is in flight on it: a server that dies.
pub async fn serve<Handler, Answer>(mut listener: Box<dyn Listener>, handler: Handler) -> io::Error
where
    Handler: Fn(SocketAddr, Request<Incoming>) -> Answer + Send + Sync + 'static,
    Answer: Future<Output = Response<Body>> + Send + 'static,
{
    let answer: Arc<Answering> = Arc::new(move |peer, request| Box::pin(handler(peer, request)));
    let mut connections = JoinSet::new();
    loop {
        select! {
            biased;
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(converse(stream, peer, answer.clone()));
                }
                Err(error) => return error,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A handler behind one type.
type Answering = dyn Fn(SocketAddr, Request<Incoming>) -> BoxFuture<'static, Response<Body>> + Send + Sync;

/// Serves one connection to its end. One that breaks is the client's to notice.
async fn converse(stream: Stream, peer: SocketAddr, answer: Arc<Answering>) {
    let service = service_fn(move |request| {
        let response = answer(peer, request);
        async move { Ok::<_, io::Error>(response.await) }
    });
    http1::Builder::new()
        .header_read_timeout(None)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
        .ok();
}
