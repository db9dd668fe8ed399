//! Sends one request when told and judges its answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Request;
use hyper::header::{HOST, HeaderMap};
use hyper::http::response;
use tokio::time::{Instant, timeout_at};

use super::outcome::{Answer, Outcome};
use super::plan::Plan;
use super::record::Record;
use crate::app::VERSION_HEADER;
use crate::balancer::{REASON_HEADER, TARGET_HEADER};
use crate::lock::lock;
use crate::net::nothing;
use crate::net::pool::Pool;

/// Everything that the requests of one load share.
pub(super) struct Client {
    pub(super) pool: Arc<Pool>,
    pub(super) started: Instant,
    pub(super) record: Arc<Mutex<Record>>,
    pub(super) observe: Box<dyn Fn(&Outcome) + Send + Sync>,
    pub(super) plan: Plan,
}

impl Client {
    /// Sends one request, and records and tells how it ended.
    pub(super) async fn request(self: Arc<Self>, number: u64, due: Duration, path: String) {
        let due_at = self.started + due;
        let answer = match timeout_at(due_at + self.plan.timeout, self.ask(&path)).await {
            Ok(answer) => answer,
            Err(_) => lost(format!("no answer within {:?}", self.plan.timeout)),
        };
        let outcome = Outcome { number, due, latency: due_at.elapsed(), answer };
        (self.observe)(&outcome);
        lock(&self.record).ended(outcome);
    }

    async fn ask(&self, path: &str) -> Answer {
        let request = Request::get(path).header(HOST, self.plan.to.to_string()).body(nothing());
        let request = match request {
            Ok(request) => request,
            Err(error) => return lost(format!("`{path}` cannot be asked for: {error}")),
        };
        let response = match self.pool.send(request).await {
            Ok(response) => response,
            Err(failure) => return lost(failure.to_string()),
        };
        let (head, body) = response.into_parts();
        match body.collect().await {
            Ok(_) => judge(&head),
            Err(_) => {
                let target = text(&head.headers, TARGET_HEADER);
                Answer::Lost { cause: "cut in the middle of its answer".to_owned(), target }
            }
        }
    }
}

fn judge(head: &response::Parts) -> Answer {
    let status = head.status.as_u16();
    let target = text(&head.headers, TARGET_HEADER);
    if status < 500 {
        return Answer::Served { status, target, version: text(&head.headers, VERSION_HEADER) };
    }
    let cause = match head.headers.contains_key(REASON_HEADER) {
        true => format!("{status} from the balancer: {}", text(&head.headers, REASON_HEADER)),
        false => format!("{status} from the application"),
    };
    Answer::Lost { cause, target }
}

fn lost(cause: String) -> Answer {
    Answer::Lost { cause, target: String::new() }
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}
