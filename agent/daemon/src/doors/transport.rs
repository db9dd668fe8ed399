//! The one way in which HTTP leaves this process: IMDS, the AWS APIs and the HTTP probes all go through it.

use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use pitcrew_core::time::Spoken;

/// Carries one HTTP request to whatever its URI names, and the whole answer back.
pub trait Transport: Send + Sync {
    /// Sends `request`, whose URI is absolute, and gives the answer with its whole body, whatever its status; redirects
    /// are not followed. Fails as [`TransportError`] says, at the latest after `timeout`.
    fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>>;
}

/// What a request is about, for whoever counts: goes with it as an extension where its headers do not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Whose API it is.
    pub service: &'static str,
    /// One of few words: no ids in it.
    pub name: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Nobody there: refused, unreachable, no such name, or TLS did not come about.
    #[error("no connection to {to}")]
    NotConnected {
        /// Host and port.
        to: String,
        /// What the layer below said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The answer was not whole in time.
    #[error("{to} did not answer within {after}", after = Spoken(*.after))]
    TimedOut {
        /// Host and port.
        to: String,
        /// How long it had.
        after: Duration,
    },
    /// The connection broke, or what came over it was no HTTP.
    #[error("the connection to {to} broke before the answer was whole")]
    Broken {
        /// Host and port.
        to: String,
        /// What the layer below said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The answer is longer than anything that makes sense.
    #[error("the answer of {to} is longer than {limit} bytes")]
    TooLong {
        /// Host and port.
        to: String,
        /// What would have been taken.
        limit: usize,
    },
    /// The request itself cannot be sent: no absolute URI, or a scheme other than http and https.
    #[error("`{uri}` is no address that a request can be sent to")]
    Unsendable {
        /// The request's URI.
        uri: String,
    },
}

/// An error and its causes as one line: `no connection to 10.0.0.1:80: connection refused`.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut last = line.clone();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Layers that only repeat what is below them say nothing new.
        if !last.contains(&text) {
            let _ = write!(line, ": {text}");
        }
        last = text;
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn an_error_is_said_with_its_causes() {
        let source = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = TransportError::NotConnected { to: "127.0.0.1:9".to_owned(), source: source.into() };
        assert_eq!(with_causes(&error), "no connection to 127.0.0.1:9: connection refused");
    }

    #[test]
    fn a_timeout_says_who_and_how_long() {
        let error = TransportError::TimedOut { to: "169.254.169.254".to_owned(), after: Duration::from_secs(1) };
        assert_eq!(error.to_string(), "169.254.169.254 did not answer within 1 s");
    }
}
