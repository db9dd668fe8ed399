//! The real transport: HTTP/1.1 over TCP as it is, or as a client of services where the URI asks for TLS.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::reqwest::{Client, redirect};
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;

use super::plain;
use super::transport::{Transport, TransportError};

/// No answer that this agent asks for comes near it; a body without end stops here.
const LONGEST_ANSWER: usize = 8 * 1024 * 1024;

/// Idle connections are kept for the next poll of a drain, not for the next deployment.
const IDLE: Duration = Duration::from_secs(20);

/// HTTP over the host's network.
///
/// `http` goes directly: to IMDS, to the application, to a stand-in; never through a proxy. `https` goes to services: it
/// trusts the host's certificate authorities and honours `HTTPS_PROXY` and `NO_PROXY`. The trust store is loaded by the
/// first such request, so that an agent that makes none does not hold one.
#[derive(Clone, Debug, Default)]
pub struct HostTransport {
    outward: Arc<OnceLock<Client>>,
}

impl HostTransport {
    /// Fails where the host has no certificate authorities at all; the next request tries again.
    fn outward(&self) -> Result<&Client, ::reqwest::Error> {
        if let Some(client) = self.outward.get() {
            return Ok(client);
        }
        let client = build()?;
        Ok(self.outward.get_or_init(|| client))
    }
}

fn build() -> Result<Client, ::reqwest::Error> {
    // Installed already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(redirect::Policy::none())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(2)
        // Every request has its own timeout, and idle connections are closed soon: the kernel need not ask after them.
        .tcp_keepalive(None)
        .tcp_user_timeout(None)
        .build()
}

impl Transport for HostTransport {
    fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>> {
        Box::pin(async move {
            let to = match request.uri().authority() {
                // What stands before the host, if anything, is a secret.
                Some(authority) => authority.as_str().rsplit('@').next().unwrap_or_default().to_owned(),
                None => {
                    let uri = request.uri().to_string();
                    return Err(TransportError::Unsendable { uri });
                }
            };
            match tokio::time::timeout(timeout, self.exchange(request, &to)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(TransportError::TimedOut { to, after: timeout }),
            }
        })
    }
}

impl HostTransport {
    async fn exchange(&self, request: http::Request<Bytes>, to: &str) -> Result<http::Response<Bytes>, TransportError> {
        if request.uri().scheme() == Some(&http::uri::Scheme::HTTP) {
            return plain::exchange(request, to, LONGEST_ANSWER).await;
        }
        let failed = |error| translate(error, to);
        let client = self.outward().map_err(failed)?;
        let request = ::reqwest::Request::try_from(request).map_err(failed)?;
        let mut response = client.execute(request).await.map_err(failed)?;
        let mut answer = http::Response::new(Bytes::new());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(TransportError::TooLong { to: to.to_owned(), limit: LONGEST_ANSWER });
            }
            body.extend_from_slice(&chunk);
        }
        *answer.body_mut() = body.freeze();
        Ok(answer)
    }
}

fn translate(error: ::reqwest::Error, to: &str) -> TransportError {
    // The address is in our own sentence; the rest of the URI may carry what should not be repeated.
    let error = error.without_url();
    let to = to.to_owned();
    if error.is_connect() || error.is_builder() {
        TransportError::NotConnected { to, source: error.into() }
    } else {
        TransportError::Broken { to, source: error.into() }
    }
}
