//! How requests and answers are written: routes, envelopes and errors as Elastigroup's documents have them.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};

use super::api::{Answer, Refusal};
use super::fault::Fate;
use super::rate::Standing;
use crate::world::imds::rfc3339;

/// Where every path begins.
pub(in crate::world) const PREFIX: &str = "/aws/ec2/";

/// A request, told apart.
pub(super) struct Asked {
    /// Method and path, with `{}` for ids.
    pub(super) route: String,
    /// The instance that it is about, where it is about one.
    pub(super) instance: Option<String>,
    pub(super) group: Option<String>,
    pub(super) what: What,
}

#[derive(Clone, Copy)]
pub(super) enum What {
    Look,
    Lock,
    Unlock,
    Enter,
    Exit,
    Signal,
    Group,
    Status,
    Healthiness,
    Suspensions,
    Suspend,
    Resume,
    Detach,
}

impl Asked {
    pub(super) fn read(request: &Request<Bytes>) -> Option<Self> {
        let path = request.uri().path().strip_prefix(PREFIX)?;
        let parts: Vec<&str> = path.split('/').collect();
        let method = request.method();
        let owned = |id: &str| Some(id.to_owned());
        let (template, instance, group, what) = match (method, parts.as_slice()) {
            (&Method::POST, ["instance", "signal"]) => ("instance/signal", None, None, What::Signal),
            (&Method::GET, ["instance", id]) => ("instance/{}", owned(id), None, What::Look),
            (&Method::POST, ["instance", id, "lock"]) => ("instance/{}/lock", owned(id), None, What::Lock),
            (&Method::POST, ["instance", id, "unlock"]) => ("instance/{}/unlock", owned(id), None, What::Unlock),
            (&Method::POST, ["instance", id, "standby", "enter"]) => {
                ("instance/{}/standby/enter", owned(id), None, What::Enter)
            }
            (&Method::POST, ["instance", id, "standby", "exit"]) => {
                ("instance/{}/standby/exit", owned(id), None, What::Exit)
            }
            (&Method::GET, ["group", id]) => ("group/{}", None, owned(id), What::Group),
            (&Method::GET, ["group", id, "status"]) => ("group/{}/status", None, owned(id), What::Status),
            (&Method::GET, ["group", id, "instanceHealthiness"]) => {
                ("group/{}/instanceHealthiness", None, owned(id), What::Healthiness)
            }
            (&Method::GET, ["group", id, "suspension"]) => ("group/{}/suspension", None, owned(id), What::Suspensions),
            (&Method::POST, ["group", id, "suspension"]) => ("group/{}/suspension", None, owned(id), What::Suspend),
            (&Method::DELETE, ["group", id, "suspension"]) => ("group/{}/suspension", None, owned(id), What::Resume),
            (&Method::PUT, ["group", id, "detachInstances"]) => {
                ("group/{}/detachInstances", None, owned(id), What::Detach)
            }
            _ => return None,
        };
        let instance = instance.or_else(|| {
            let body: Value = serde_json::from_slice(request.body()).ok()?;
            body["instanceId"].as_str().map(str::to_owned)
        });
        Some(Self { route: format!("{method} {PREFIX}{template}"), instance, group, what })
    }
}

pub(super) fn query(request: &Request<Bytes>, name: &str) -> Option<String> {
    let pairs = form_urlencoded::parse(request.uri().query()?.as_bytes());
    let mut found = pairs.filter(|(key, _)| key == name);
    found.next().map(|(_, value)| value.into_owned())
}

pub(super) fn respond(
    fate: Fate,
    outcome: Result<Answer, Refusal>,
    standing: Option<Standing>,
    wall: SystemTime,
) -> Response<Bytes> {
    let request = json!({ "id": "0a1b2c3d", "timestamp": rfc3339(wall) });
    match (fate, outcome) {
        (Fate::Html, _) => {
            let mut page = Response::new(Bytes::from_static(b"<html><body>We will be back soon</body></html>"));
            page.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
            page
        }
        (Fate::Bare, Ok(_)) => written(StatusCode::OK, &json!({ "response": {} }), None),
        (_, Ok((items, _))) => {
            let count = items.len();
            let status = json!({ "code": 200, "message": "OK" });
            let response = json!({ "status": status, "items": items, "count": count });
            written(StatusCode::OK, &json!({ "request": request, "response": response }), standing)
        }
        (_, Err((status, _, message))) if status == StatusCode::TOO_MANY_REQUESTS => {
            let response = json!({ "status": { "code": 429, "message": "Too Many Requests" }, "data": message });
            let standing = standing.map(|standing| Standing { remaining: 0, ..standing });
            written(status, &json!({ "request": request, "response": response }), standing)
        }
        (_, Err((status, code, message))) => {
            let reason = status.canonical_reason().unwrap_or_default();
            let response = json!({
                "status": { "code": status.as_u16(), "message": reason },
                "errors": [{ "code": code, "message": message }],
            });
            written(status, &json!({ "request": request, "response": response }), standing)
        }
    }
}

pub(super) fn written(status: StatusCode, body: &Value, standing: Option<Standing>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(Standing { limit, remaining, reset, .. }) = standing {
        headers.insert("x-ratelimit-limit", limit.into());
        headers.insert("x-ratelimit-remaining", remaining.into());
        headers.insert("x-ratelimit-reset", reset.as_secs().into());
    }
    response
}
