//! What is answered where: readiness from a text that is rendered once for each view, the rest on request.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Either, Full, Limited, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use pitcrew_core::view::View;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Limits, hcs, page};
use crate::history::History;
use crate::intake::imds::Identity;
use crate::report::bootstrap;
use crate::report::metrics::families as of;
use crate::report::metrics::{Format, Metrics};

/// What a connection is answered with.
pub(super) type Body = Either<Full<Bytes>, StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>>;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Somebody on this host: everything is shown.
    Host,
    /// A balancer: `/ready` and `/live`.
    Balancer,
}

/// What there is to be shown.
#[derive(Debug)]
pub struct Site {
    /// How the instance is; `None` until hooks and notices are heard.
    pub shown: watch::Receiver<Option<Arc<View>>>,
    /// Who it is, once that is known.
    pub identity: Arc<OnceLock<Identity>>,
    /// What is counted.
    pub metrics: Metrics,
    /// What happened.
    pub history: History,
    /// Whether Elastigroup's health check service is answered.
    pub answers_hcs: bool,
    rendered: Mutex<Rendered>,
    followers: Arc<AtomicUsize>,
}

/// The answer to `/ready`, for one view.
#[derive(Debug)]
struct Rendered {
    view: Option<Arc<View>>,
    ready: bool,
    body: Bytes,
}

/// The longest body of a request that is read at all.
const LONGEST_BODY: usize = 64 * 1024;

/// From one thing that a follower is shown to the next.
const NOT_SOONER: Duration = Duration::from_secs(1);

const JSON: &str = "application/json";

impl Site {
    /// A site that shows these.
    pub fn new(
        shown: watch::Receiver<Option<Arc<View>>>,
        identity: Arc<OnceLock<Identity>>,
        metrics: Metrics,
        history: History,
        answers_hcs: bool,
    ) -> Self {
        let rendered = Mutex::new(Rendered { view: None, ready: false, body: starting() });
        Self { shown, identity, metrics, history, answers_hcs, rendered, followers: Arc::default() }
    }

    /// Answers one request.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        audience: Audience,
        limits: Limits,
        busy: Arc<AtomicBool>,
    ) -> Response<Body> {
        busy.store(true, Ordering::Relaxed);
        let known = known(request.uri().path());
        let answer = match timeout(limits.answer_within, self.respond(request, known, audience, limits)).await {
            Ok(answer) => answer,
            Err(_) => refused(StatusCode::REQUEST_TIMEOUT, "the request did not come in time\n"),
        };
        // Who follows may be asked to leave like anybody who only listens.
        busy.store(false, Ordering::Relaxed);
        self.metrics.count(&of::HTTP_REQUESTS, &[known, answer.status().as_str()]);
        answer
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        known: &'static str,
        audience: Audience,
        limits: Limits,
    ) -> Response<Body> {
        if known == "/api/check" && self.answers_hcs {
            return self.check(request).await;
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return not_allowed("GET, HEAD", "only GET and HEAD are answered\n");
        }
        if !request.body().is_end_stream() {
            return refused(StatusCode::PAYLOAD_TOO_LARGE, "no request here has a body\n");
        }
        match (known, audience) {
            ("/ready", _) => self.ready(),
            ("/live", _) => text(StatusCode::OK, JSON, Bytes::from_static(b"{\"live\":true}\n")),
            ("/status", Audience::Host) => text(StatusCode::OK, JSON, format!("{:#}\n", self.status()).into()),
            ("/history", Audience::Host) => {
                let records = serde_json::to_value(self.history.records()).unwrap_or_default();
                text(StatusCode::OK, JSON, format!("{records:#}\n").into())
            }
            ("/metrics", Audience::Host) => {
                let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
                let format = Format::accepted_by(accept);
                let view = self.shown.borrow().clone();
                text(StatusCode::OK, format.content_type(), self.metrics.written(format, view.as_deref()).into())
            }
            ("/", Audience::Host) => {
                let mut answer = text(StatusCode::OK, "text/html; charset=utf-8", self.page().into());
                answer.headers_mut().insert(CONTENT_SECURITY_POLICY, page::policy());
                answer
            }
            ("/events", Audience::Host) => self.follow(limits),
            _ => text(StatusCode::NOT_FOUND, "text/plain", Bytes::from_static(b"there is nothing here\n")),
        }
    }

    /// Rendered anew only where the view has changed since it was asked for last.
    fn ready(&self) -> Response<Body> {
        let (ready, body) = self.rendered();
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        text(status, JSON, body)
    }

    fn rendered(&self) -> (bool, Bytes) {
        let shown = self.shown.borrow();
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        let same = match (shown.as_ref(), &rendered.view) {
            (None, None) => true,
            (Some(shown), Some(rendered)) => Arc::ptr_eq(shown, rendered),
            (None, Some(_)) | (Some(_), None) => false,
        };
        if let (false, Some(view)) = (same, shown.as_ref()) {
            *rendered = Rendered { view: Some(view.clone()), ready: view.readiness.ready, body: body_of(view) };
        }
        (rendered.ready, rendered.body.clone())
    }

    /// The view as it is on the socket, and beside it who says so, and how the bootstrap went.
    fn status(&self) -> Value {
        let view = self.shown.borrow().clone();
        let mut document = match view {
            Some(view) => serde_json::to_value(view.as_ref()).unwrap_or_default(),
            None => json!({ "state": "starting", "sentence": page::NOT_KNOWN_YET }),
        };
        document["version"] = env!("CARGO_PKG_VERSION").into();
        document["instance"] = self.identity.get().map_or(Value::Null, |identity| identity.instance.as_str().into());
        if let Some(journal) = bootstrap::journal() {
            document["bootstrap"] = bootstrap::document(&journal);
        }
        document
    }

    fn page(&self) -> String {
        let view = self.shown.borrow().clone();
        let instance = self.identity.get().map_or("this instance", |identity| identity.instance.as_str());
        let journal = bootstrap::journal().unwrap_or_default();
        page::screen(instance, view.as_deref(), &self.history.records(), &bootstrap::lines(&journal))
    }

    /// The page's main part, now and whenever it changes, as server-sent events.
    fn follow(&self, limits: Limits) -> Response<Body> {
        let place = Follower::enter(&self.followers, limits.followers);
        let Some(place) = place else {
            return refused(
                StatusCode::SERVICE_UNAVAILABLE,
                "enough people follow already; look at / again and again\n",
            );
        };
        let mut shown = self.shown.clone();
        shown.mark_changed();
        let history = self.history.clone();
        let events = stream::unfold((shown, place, Instant::now()), move |(mut shown, place, not_before)| {
            let history = history.clone();
            async move {
                shown.changed().await.ok()?;
                sleep_until(not_before).await;
                let view = shown.borrow_and_update().clone();
                let journal = bootstrap::journal().unwrap_or_default();
                let part = page::main(view.as_deref(), &history.records(), &bootstrap::lines(&journal));
                let event = part.lines().fold(String::new(), |event, line| event + "data: " + line + "\n") + "\n";
                Some((Ok(Frame::data(Bytes::from(event))), (shown, place, Instant::now() + NOT_SOONER)))
            }
        });
        let mut answer = Response::new(Either::Right(StreamBody::new(events.boxed())));
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer
    }

    async fn check(&self, request: Request<Incoming>) -> Response<Body> {
        if request.method() != Method::POST {
            return not_allowed("POST", "POST a check\n");
        }
        let body = match Limited::new(request.into_body(), LONGEST_BODY).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return refused(StatusCode::PAYLOAD_TOO_LARGE, "no check is so long\n"),
        };
        let view = self.shown.borrow().clone();
        let instance = self.identity.get().map(|identity| identity.instance.as_str());
        match hcs::answer(&body, instance, view.as_deref()) {
            Ok(document) => text(StatusCode::OK, JSON, format!("{document}\n").into()),
            Err(error) => refused(StatusCode::BAD_REQUEST, &format!("this is no check: {error}\n")),
        }
    }
}

/// One who follows; dropped, there is room for another.
struct Follower(Arc<AtomicUsize>);

impl Follower {
    fn enter(count: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let entered =
            count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < limit).then_some(count + 1));
        entered.ok().map(|_| Self(count.clone()))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The path where it is one of ours: what anybody may write into it must not become a label.
fn known(path: &str) -> &'static str {
    const PATHS: [&str; 8] = ["/ready", "/live", "/status", "/history", "/metrics", "/", "/events", "/api/check"];
    PATHS.into_iter().find(|known| *known == path).unwrap_or("other")
}

/// What `/ready` answers before anything is known.
fn starting() -> Bytes {
    let reason = json!({ "code": "starting", "blocks": true, "detail": page::NOT_KNOWN_YET });
    Bytes::from(format!("{}\n", json!({ "ready": false, "state": "starting", "reasons": [reason] })))
}

fn body_of(view: &View) -> Bytes {
    let document = json!({
        "ready": view.readiness.ready,
        "state": view.state.word(),
        "reasons": view.readiness.reasons,
        "sentence": view.sentence,
    });
    Bytes::from(format!("{document}\n"))
}

/// The answer to a method that is not `allowed` there.
fn not_allowed(allowed: &'static str, why: &str) -> Response<Body> {
    let mut answer = refused(StatusCode::METHOD_NOT_ALLOWED, why);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

fn text(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Body> {
    let mut answer = Response::new(Either::Left(Full::new(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    answer
}

/// An answer to who asks for what is not done here: the connection ends, and whatever else it carries is not read.
fn refused(status: StatusCode, why: &str) -> Response<Body> {
    let mut answer = text(status, "text/plain", Bytes::copy_from_slice(why.as_bytes()));
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}
