//! One request's way through the balancer: which target, and what the client hears.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::time::timeout;

use super::routing::{Routing, Stance};
use super::upstreams::Upstreams;
use crate::net::{Body, whole};

/// Why the balancer answered by itself; on such answers only.
pub const REASON_HEADER: &str = "x-balancer-reason";

/// Which target had the request, such as `127.77.0.1:8080`; on every answer of a request that had
/// one.
pub const TARGET_HEADER: &str = "x-balancer-target";

/// How long a target may stay silent, as with an Application Load Balancer's idle timeout.
const SILENCE: Duration = Duration::from_secs(60);

/// Headers that speak about one connection and are not passed on.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
];

/// Passes requests on to serving targets, round robin, each exactly once.
pub(super) struct Forwarder {
    routing: Arc<dyn Routing>,
    upstreams: Arc<Upstreams>,
    turn: AtomicUsize,
}

impl Forwarder {
    pub(super) fn new(routing: Arc<dyn Routing>, upstreams: Arc<Upstreams>) -> Self {
        Self { routing, upstreams, turn: AtomicUsize::new(0) }
    }

    pub(super) async fn forward(&self, client: SocketAddr, mut request: Request<Incoming>) -> Response<Body> {
        let Some(target) = self.choose() else {
            return refusal(StatusCode::SERVICE_UNAVAILABLE, "no target is in service", None);
        };
        prepare(request.headers_mut(), client);
        match timeout(SILENCE, self.upstreams.pool(target).send(request.map(BodyExt::boxed_unsync))).await {
            Ok(Ok(mut response)) => {
                remove_hop_by_hop(response.headers_mut());
                name_target(response.headers_mut(), target);
                response
            }
            Ok(Err(failure)) => refusal(StatusCode::BAD_GATEWAY, &failure.to_string(), Some(target)),
            Err(_) => refusal(StatusCode::GATEWAY_TIMEOUT, "the target was silent", Some(target)),
        }
    }

    fn choose(&self) -> Option<SocketAddr> {
        let routes = self.routing.routes();
        let serving = || routes.iter().filter(|route| route.stance == Stance::Serving);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let chosen = serving().nth(turn.checked_rem(serving().count())?)?;
        Some(chosen.endpoint)
    }
}

/// Drops what speaks about the client's own connection, and says who the client is.
fn prepare(headers: &mut HeaderMap, client: SocketAddr) {
    remove_hop_by_hop(headers);
    if let Ok(client) = HeaderValue::try_from(client.ip().to_string()) {
        headers.append("x-forwarded-for", client);
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// The balancer's own answer, with the reason where a client or a log can read it.
fn refusal(status: StatusCode, reason: &str, target: Option<SocketAddr>) -> Response<Body> {
    let mut response = Response::new(whole(format!("{reason}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Ok(reason) = HeaderValue::from_str(reason) {
        headers.insert(REASON_HEADER, reason);
    }
    if let Some(target) = target {
        name_target(headers, target);
    }
    response
}

fn name_target(headers: &mut HeaderMap, target: SocketAddr) {
    if let Ok(target) = HeaderValue::try_from(target.to_string()) {
        headers.insert(TARGET_HEADER, target);
    }
}
