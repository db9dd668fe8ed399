//! A transport that answers from a script, and remembers what it was asked.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use pitcrew::doors::{Operation, Transport, TransportError};
use tokio::time::Instant;

type Script = dyn Fn(Request<Bytes>) -> BoxFuture<'static, Outcome> + Send + Sync;
pub(crate) type Outcome = Result<Response<Bytes>, TransportError>;

/// Answers every request by one function.
pub(crate) struct Scripted {
    script: Box<Script>,
    log: Mutex<Vec<Seen>>,
}

/// A request that was made.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "not every test file uses everything")]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
    pub(crate) operation: Option<Operation>,
}

#[allow(dead_code, reason = "not every test file uses everything")]
impl Scripted {
    pub(crate) fn new<F>(script: impl Fn(Request<Bytes>) -> F + Send + Sync + 'static) -> Arc<Self>
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        Arc::new(Self { script: Box::new(move |request| Box::pin(script(request))), log: Mutex::default() })
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.log.lock().unwrap().clone()
    }

    /// Paths of the requests, for scripts without query strings.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.seen().iter().map(|seen| seen.uri.clone()).collect()
    }

    /// The form that each request carried: `Action` and its parameters.
    pub(crate) fn forms(&self) -> Vec<BTreeMap<String, String>> {
        self.seen().iter().map(|seen| form(&seen.body)).collect()
    }
}

impl Transport for Scripted {
    fn send(&self, request: Request<Bytes>, timeout: Duration) -> BoxFuture<'_, Outcome> {
        self.log.lock().unwrap().push(Seen {
            at: Instant::now(),
            method: request.method().to_string(),
            uri: request.uri().to_string(),
            headers: request.headers().clone(),
            body: String::from_utf8_lossy(request.body()).into_owned(),
            operation: request.extensions().get().cloned(),
        });
        let answer = (self.script)(request);
        Box::pin(async move {
            match tokio::time::timeout(timeout, answer).await {
                Ok(outcome) => outcome,
                Err(_) => Err(TransportError::TimedOut { to: "stand-in".to_owned(), after: timeout }),
            }
        })
    }
}

/// Reads `a=b&c=d`, percent-decoded.
pub(crate) fn form(body: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            });
        }
        String::from_utf8(bytes).unwrap()
    };
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (decode(key), decode(value))).collect()
}

#[allow(dead_code, reason = "not every test file uses everything")]
pub(crate) fn answer(status: u16, body: impl Into<Bytes>) -> Outcome {
    Ok(Response::builder().status(status).body(body.into()).unwrap())
}

#[allow(dead_code, reason = "not every test file uses everything")]
pub(crate) fn refused() -> Outcome {
    Err(TransportError::NotConnected {
        to: "stand-in".to_owned(),
        source: io::Error::from(io::ErrorKind::ConnectionRefused).into(),
    })
}
