//! The real transport: HTTP/1.1 over TCP, with TLS where the URI asks for it.

use std::time::Duration;

use ::reqwest::{Client, ClientBuilder, redirect};
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;

use super::transport::{Transport, TransportError};

/// No answer that this agent asks for comes near it; a body without end stops here.
const LONGEST_ANSWER: usize = 8 * 1024 * 1024;

/// Idle connections are kept for the next poll of a drain, not for the next deployment.
const IDLE: Duration = Duration::from_secs(20);

/// HTTP over the host's network.
#[derive(Clone, Debug)]
pub struct ReqwestTransport {
    client: Client,
}

impl ReqwestTransport {
    /// To services: trusts the host's certificate authorities and honours `HTTPS_PROXY` and its kin. Fails where the host
    /// has no certificate authorities at all.
    pub fn outward() -> Result<Self, ::reqwest::Error> {
        Self::build(Client::builder())
    }

    /// To this host and its link: IMDS and the application. Never through a proxy; plain HTTP, so that an agent that
    /// needs no TLS does not hold a trust store.
    pub fn direct() -> Result<Self, ::reqwest::Error> {
        Self::build(Client::builder().no_proxy().tls_certs_only([]))
    }

    fn build(builder: ClientBuilder) -> Result<Self, ::reqwest::Error> {
        // Already installed is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = builder
            .redirect(redirect::Policy::none())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(2)
            .build()?;
        Ok(Self { client })
    }
}

impl Transport for ReqwestTransport {
    fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>> {
        Box::pin(async move {
            let to = request
                .uri()
                .authority()
                .map(ToString::to_string)
                .unwrap_or_default();
            let uri = request.uri().to_string();
            let request = ::reqwest::Request::try_from(request)
                .map_err(|_| TransportError::Unsendable { uri: uri.clone() })?;
            match tokio::time::timeout(timeout, exchange(&self.client, request, &to, uri)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(TransportError::TimedOut { to, after: timeout }),
            }
        })
    }
}

async fn exchange(
    client: &Client,
    request: ::reqwest::Request,
    to: &str,
    uri: String,
) -> Result<http::Response<Bytes>, TransportError> {
    let broken = |error: ::reqwest::Error| {
        // The URI is in our own sentence already, and may carry what should not be repeated.
        let error = error.without_url();
        if error.is_builder() {
            TransportError::Unsendable { uri: uri.clone() }
        } else if error.is_connect() {
            TransportError::NotConnected {
                to: to.to_owned(),
                source: error.into(),
            }
        } else {
            TransportError::Broken {
                to: to.to_owned(),
                source: error.into(),
            }
        }
    };
    let mut response = client.execute(request).await.map_err(&broken)?;
    let mut answer = http::Response::new(Bytes::new());
    *answer.status_mut() = response.status();
    *answer.headers_mut() = std::mem::take(response.headers_mut());
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(&broken)? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(TransportError::TooLong {
                to: to.to_owned(),
                limit: LONGEST_ANSWER,
            });
        }
        body.extend_from_slice(&chunk);
    }
    *answer.body_mut() = body.freeze();
    Ok(answer)
}
