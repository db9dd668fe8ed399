//! One HTTP exchange with Elastigroup's API, read leniently: its documents and its answers disagree on shapes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use pitcrew_core::elastigroup::Load;
use pitcrew_core::time::WallTime;
use pitcrew_core::wire::FailureKind;
use serde_json::Value;

use super::reading;
use super::token::{Token, Tokens};
use crate::doors::{Operation, Transport, with_causes};

/// Speaks the API.
pub(super) struct Api {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) tokens: Tokens,
    pub(super) base_url: Uri,
    pub(super) timeout: Duration,
}

/// A good answer.
pub(super) struct Answered {
    pub(super) items: Vec<Value>,
    pub(super) allowance: Allowance,
    pub(super) load: Option<Load>,
    /// When Elastigroup wrote it, by its own clock.
    pub(super) date: Option<WallTime>,
}

/// `X-RateLimit-*`: what the organization may still ask of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Allowance {
    pub(super) limit: Option<u32>,
    pub(super) remaining: Option<u32>,
    pub(super) reset: Option<Duration>,
}

impl Answered {
    /// How long it was until `ends` when this was answered; `None` where the answer had no date.
    pub(super) fn left(&self, ends: WallTime) -> Option<Duration> {
        self.date.map(|date| ends.remaining(date))
    }
}

/// No good answer.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) kind: FailureKind,
    /// The same words for the same trouble.
    pub(super) why: String,
    pub(super) allowance: Allowance,
}

impl Refusal {
    pub(super) fn new(kind: FailureKind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into(), allowance: Allowance::default() }
    }

    pub(super) fn throttled() -> Self {
        Self::new(FailureKind::Throttled, "the organization asks too often (429)")
    }

    pub(super) fn unreadable(why: &str) -> Self {
        Self::new(FailureKind::Unavailable, format!("its answer cannot be read: {why}"))
    }
}

impl Api {
    /// Sends a request; where the token is refused and there is a newer one, once more.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        operation: &Operation,
    ) -> Result<Answered, Refusal> {
        let request = self.request(method, path, body, operation)?;
        let token = self.tokens.current().await?;
        let answer = self.exchange(&request, &token).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return read(&answer);
        }
        let newer = self.tokens.newer_than(&token).await?;
        match newer {
            Some(newer) => read(&self.exchange(&request, &newer).await?),
            None => read(&answer),
        }
    }

    /// The request, but for the token.
    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        operation: &Operation,
    ) -> Result<Request<Bytes>, Refusal> {
        let base = self.base_url.to_string();
        let uri = format!("{}{path}", base.trim_end_matches('/'));
        let uri: Uri = uri.parse().map_err(|_| Refusal::new(FailureKind::Invalid, format!("`{uri}` is no address")))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.extensions_mut().insert(operation.clone());
        Ok(request)
    }

    async fn exchange(&self, request: &Request<Bytes>, token: &Token) -> Result<Response<Bytes>, Refusal> {
        let mut request = request.clone();
        request.headers_mut().insert(AUTHORIZATION, token.header()?);
        self.transport
            .send(request, self.timeout)
            .await
            .map_err(|error| Refusal::new(FailureKind::Unavailable, with_causes(&error)))
    }
}

/// Reads an answer: its envelope may say no where HTTP says yes.
fn read(answer: &Response<Bytes>) -> Result<Answered, Refusal> {
    let allowance = Allowance::of(answer.headers());
    let status = answer.status().as_u16();
    let document: Option<Value> = serde_json::from_slice(answer.body()).ok();
    let Some(document) = document else {
        let kind = if answer.status().is_success() { FailureKind::Unavailable } else { kind(status, "") };
        let why = format!("HTTP {status} with something that is no JSON");
        return Err(Refusal { kind, why, allowance });
    };
    let response = &document["response"];
    let inner = response["status"]["code"].as_u64().and_then(|code| u16::try_from(code).ok());
    let (outer_is_good, inner_is_good) = (answer.status().is_success(), inner.is_none_or(|code| code < 400));
    if outer_is_good && inner_is_good {
        let load = allowance
            .limit
            .zip(allowance.remaining)
            .map(|(limit, remaining)| Load { limit, used: limit.saturating_sub(remaining) });
        let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok()).and_then(reading::http_date);
        let written = date.or_else(|| reading::time(&document["request"]["timestamp"]));
        return Ok(Answered { items: reading::items(response), allowance, load, date: written });
    }
    let status = if outer_is_good { inner.unwrap_or(status) } else { status };
    let error = &response["errors"][0];
    let code = error["code"].as_str().unwrap_or_default();
    let message = error["message"].as_str().or_else(|| response["status"]["message"].as_str()).unwrap_or_default();
    let said = [code, message].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    let why = match (kind(status, code), said.as_str()) {
        (FailureKind::Throttled, _) => Refusal::throttled().why,
        (FailureKind::Denied, _) => format!(
            "the token is refused (HTTP {status}): give [elastigroup] token one that is valid for this account, and the \
             permission to lock, signal and read the group"
        ),
        (_, "") => format!("HTTP {status}"),
        (_, said) => format!("HTTP {status}, {said}"),
    };
    Err(Refusal { kind: kind(status, code), why, allowance })
}

/// What helps against it.
fn kind(status: u16, code: &str) -> FailureKind {
    match (status, code) {
        (429, _) | (_, "RequestLimitExceeded") => FailureKind::Throttled,
        (401 | 403, _) => FailureKind::Denied,
        (404, _) | (_, "GROUP_DOESNT_EXIST" | "SUSPEND_PROCESSES_DOESNT_EXIST") => FailureKind::NotFound,
        (408 | 500.., _) => FailureKind::Unavailable,
        (_, _) => FailureKind::Invalid,
    }
}

impl Allowance {
    fn of(headers: &HeaderMap) -> Self {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u32>().ok();
        let seconds = number("x-ratelimit-reset").or_else(|| number(RETRY_AFTER.as_str()));
        Self {
            limit: number("x-ratelimit-limit"),
            remaining: number("x-ratelimit-remaining"),
            reset: seconds.map(|seconds| Duration::from_secs(u64::from(seconds).min(600))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Result<Answered, Refusal> {
        let answer = Response::builder()
            .status(status)
            .header("x-ratelimit-limit", "60")
            .header("x-ratelimit-remaining", "12")
            .header("x-ratelimit-reset", "7")
            .body(Bytes::copy_from_slice(body.as_bytes()));
        read(&answer.unwrap())
    }

    #[test]
    fn items_are_found_in_every_documented_place() {
        for body in [
            r#"{"response":{"status":{"code":200},"items":[{"a":1}],"count":1}}"#,
            r#"{"response":{"status":{"code":200},"items":{"a":1}}}"#,
            r#"{"response":{"status":{"code":200,"items":{"a":1},"count":1}}}"#,
            r#"{"response":{"items":[{"a":1}]}}"#,
        ] {
            let answered = answer(200, body).unwrap_or_else(|refusal| panic!("{body}: {}", refusal.why));
            assert_eq!(answered.items, [serde_json::json!({"a": 1})], "{body}");
            assert_eq!(answered.load, Some(Load { limit: 60, used: 48 }));
        }
        assert!(answer(200, r#"{"response":{"status":{"code":200,"message":"OK"}}}"#).unwrap().items.is_empty());
    }

    #[test]
    fn what_is_no_answer_is_told_apart_by_what_helps() {
        use FailureKind::{Denied, Invalid, NotFound, Throttled, Unavailable};
        let table = [
            (
                429,
                r#"{"response":{"status":{"code":429,"message":"Too Many Requests"},"data":"Rate limit exceeded"}}"#,
                Throttled,
            ),
            (400, r#"{"response":{"status":{"code":400},"errors":[{"code":"RequestLimitExceeded"}]}}"#, Throttled),
            (
                400,
                r#"{"response":{"status":{"code":400},"errors":[{"code":"GROUP_DOESNT_EXIST","message":"no"}]}}"#,
                NotFound,
            ),
            (400, r#"{"response":{"status":{"code":400},"errors":[{"code":"GENERAL_ERROR"}]}}"#, Invalid),
            (400, r#"{"response":{}}"#, Invalid),
            (200, r#"{"response":{"status":{"code":400},"errors":[]}}"#, Invalid),
            (401, "{}", Denied),
            (403, "<html>forbidden</html>", Denied),
            (200, "<html>maintenance</html>", Unavailable),
            (200, "", Unavailable),
            (503, "<html>try later</html>", Unavailable),
            (500, r#"{"response":{"status":{"code":500}}}"#, Unavailable),
        ];
        for (status, body, expected) in table {
            let refusal = answer(status, body).err().unwrap_or_else(|| panic!("{status} {body} is an answer"));
            assert_eq!(refusal.kind, expected, "{status} {body}: {}", refusal.why);
            assert_eq!(refusal.allowance.reset, Some(Duration::from_secs(7)));
        }
    }
}
