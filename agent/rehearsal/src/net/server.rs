//! HTTP/1.1 served on any network, until the future is dropped.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::select;
use tokio::task::JoinSet;

use super::Listener;

/// Answers every request on every connection with `handler`, which is given the client's address.
///
/// Returns only when the listener fails. Dropping the future closes the listener and cuts every
/// connection, whatever is in flight on it: a server that dies.
pub async fn serve<Handler, Answer, Reply>(mut listener: Box<dyn Listener>, handler: Handler) -> io::Error
where
    Handler: Fn(SocketAddr, Request<Incoming>) -> Answer + Send + Sync + 'static,
    Answer: Future<Output = Response<Reply>> + Send,
    Reply: Body<Error: Into<Box<dyn Error + Send + Sync>>, Data: Send> + Send + 'static,
{
    let handler = Arc::new(handler);
    let mut connections = JoinSet::new();
    loop {
        select! {
            biased;
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let handler = handler.clone();
                    connections.spawn(async move {
                        let answer = service_fn(move |request| {
                            let handler = handler.clone();
                            async move { Ok::<_, io::Error>(handler(peer, request).await) }
                        });
                        // A connection that breaks is the client's to notice.
                        http1::Builder::new()
                            .header_read_timeout(None)
                            .auto_date_header(false)
                            .serve_connection(TokioIo::new(stream), answer)
                            .await
                            .ok();
                    });
                }
                Err(error) => return error,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}
