//! The instance metadata service: who this instance is, and what will become of it.
//!
//! Version 2 only. Trouble here is never fatal to anybody: it has a kind and a sentence, and one asks again.

mod endpoint;
mod identity;
mod notices;
mod sight;
mod sources;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::doors::{Transport, TransportError};
pub use endpoint::{Endpoint, EndpointError};
pub use identity::Identity;
pub(crate) use identity::usual_services;
pub use notices::NoticePoller;
pub use sight::Sight;
pub use sources::Calendar;

/// How long a token is asked for: the longest there is.
const TOKEN_LIFE: Duration = Duration::from_secs(21_600);

/// A token that could not be renewed early is tried again after this long; until it ends it still serves.
const RENEW_AGAIN: Duration = Duration::from_secs(60);

static TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
static TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");

/// Speaks IMDSv2.
pub struct Imds {
    transport: Arc<dyn Transport>,
    endpoint: Endpoint,
    timeout: Duration,
    token: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    value: HeaderValue,
    renew: Instant,
    ends: Instant,
}

/// Why IMDS gave no answer that can be used. Absence is an answer, and not among these.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// 200 with nothing in it: IMDS under load does that; it does not mean that there is nothing.
    #[error("IMDS answered with nothing in it")]
    Empty,
    /// 403.
    #[error(
        "IMDS refuses this host (403); switch it on with `aws ec2 modify-instance-metadata-options --http-endpoint enabled`"
    )]
    Denied,
    /// 401, though the token was new.
    #[error("IMDS refuses its own new token (401)")]
    Unauthorized,
    /// 429.
    #[error("IMDS is asked too often (429)")]
    Throttled,
    /// Any other status.
    #[error("IMDS answered {0}")]
    Status(StatusCode),
    /// An answer that is not what the path promises.
    #[error("IMDS answered `{path}` with what cannot be read: {why}")]
    Unreadable {
        /// The path below `/latest/`.
        path: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// No answer at all.
    #[error("IMDS did not answer")]
    Unanswered(#[from] TransportError),
}

impl Imds {
    /// Asks at `endpoint`, and waits `timeout` for each answer.
    pub fn new(transport: Arc<dyn Transport>, endpoint: Endpoint, timeout: Duration) -> Self {
        Self { transport, endpoint, timeout, token: Mutex::new(None) }
    }

    /// What lies at a `path` below `/latest/`; `None` where nothing does (404). Never an empty answer. Takes at most four
    /// requests: a token, the question, and both again where the token had ended.
    pub async fn get(&self, path: &str) -> Result<Option<Bytes>, Trouble> {
        let token = self.token().await?;
        match self.ask(path, token.clone()).await? {
            Asked::TokenRefused => {}
            Asked::Answered(answer) => return Ok(answer),
        }
        self.forget(&token).await;
        let token = self.token().await?;
        match self.ask(path, token).await? {
            Asked::TokenRefused => Err(Trouble::Unauthorized),
            Asked::Answered(answer) => Ok(answer),
        }
    }

    async fn ask(&self, path: &str, token: HeaderValue) -> Result<Asked, Trouble> {
        let mut request = self.request(Method::GET, path);
        request.headers_mut().insert(TOKEN.clone(), token);
        let answer = self.transport.send(request, self.timeout).await?;
        match answer.status() {
            StatusCode::UNAUTHORIZED => Ok(Asked::TokenRefused),
            StatusCode::NOT_FOUND => Ok(Asked::Answered(None)),
            _ => filled(answer).map(|body| Asked::Answered(Some(body))),
        }
    }

    /// A token that is good for a while. The lock is held while one is fetched, so that one fetch serves all who wait.
    async fn token(&self) -> Result<HeaderValue, Trouble> {
        let mut held = self.token.lock().await;
        let now = Instant::now();
        if let Some(token) = held.as_ref().filter(|token| now < token.renew) {
            return Ok(token.value.clone());
        }
        match (self.fetch_token().await, held.as_mut()) {
            (Ok(token), _) => Ok(held.insert(token).value.clone()),
            (Err(_), Some(token)) if now < token.ends => {
                token.renew = now + RENEW_AGAIN;
                Ok(token.value.clone())
            }
            (Err(trouble), _) => Err(trouble),
        }
    }

    async fn fetch_token(&self) -> Result<Token, Trouble> {
        let mut request = self.request(Method::PUT, "api/token");
        let life = HeaderValue::from(TOKEN_LIFE.as_secs());
        request.headers_mut().insert(TTL.clone(), life);
        let asked = Instant::now();
        let answer = self.transport.send(request, self.timeout).await?;
        let granted = answer.headers().get(&TTL).and_then(|life| life.to_str().ok()?.parse().ok());
        let life = granted.map_or(TOKEN_LIFE, Duration::from_secs);
        let body = filled(answer)?;
        let mut value = HeaderValue::from_bytes(body.trim_ascii())
            .map_err(|_| Trouble::Unreadable { path: "api/token", why: "no token looks like this".to_owned() })?;
        value.set_sensitive(true);
        Ok(Token { value, renew: asked + life * 9 / 10, ends: asked + life })
    }

    /// Drops a refused token, unless somebody else has a new one already.
    async fn forget(&self, refused: &HeaderValue) {
        let mut held = self.token.lock().await;
        if held.as_ref().is_some_and(|token| token.value == *refused) {
            *held = None;
        }
    }

    fn request(&self, method: Method, path: &str) -> Request<Bytes> {
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = method;
        *request.uri_mut() = self.endpoint.uri(path);
        request
    }
}

enum Asked {
    TokenRefused,
    Answered(Option<Bytes>),
}

/// The status is looked at before the body: an error page is no answer.
fn filled(answer: http::Response<Bytes>) -> Result<Bytes, Trouble> {
    match answer.status() {
        StatusCode::OK if answer.body().trim_ascii().is_empty() => Err(Trouble::Empty),
        StatusCode::OK => Ok(answer.into_body()),
        StatusCode::FORBIDDEN => Err(Trouble::Denied),
        StatusCode::TOO_MANY_REQUESTS => Err(Trouble::Throttled),
        status => Err(Trouble::Status(status)),
    }
}
