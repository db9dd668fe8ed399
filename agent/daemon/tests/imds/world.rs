//! A stand-in IMDS.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use pitcrew::intake::imds::{Endpoint, Imds};

use crate::scripted::{Outcome, Scripted, answer, refused};

/// A stand-in IMDS whose answers a test changes while it runs.
pub(crate) struct World {
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) transport: Arc<Scripted>,
    pub(crate) imds: Arc<Imds>,
}

#[derive(Default)]
pub(crate) struct State {
    pages: BTreeMap<&'static str, String>,
    /// Instead of the page: for one path, or for all.
    faults: BTreeMap<&'static str, Fault>,
    everywhere: Option<Fault>,
    pub(crate) tokens_given: u32,
    pub(crate) token_life: u64,
    pub(crate) refused_tokens: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Status(u16),
    Empty,
    Hang,
    Refuse,
    Page(&'static str),
}

impl World {
    pub(crate) fn new() -> Self {
        let state = Arc::new(Mutex::new(State { token_life: 21_600, ..State::default() }));
        let transport = {
            let state = state.clone();
            Scripted::new(move |request| {
                let outcome = state.lock().unwrap().answer(&request);
                async move {
                    match outcome {
                        Some(outcome) => outcome,
                        None => std::future::pending().await,
                    }
                }
            })
        };
        let endpoint = Endpoint::at(&"http://imds".parse().unwrap()).unwrap();
        let imds = Arc::new(Imds::new(transport.clone(), endpoint, Duration::from_secs(1)));
        Self { state, transport, imds }
    }

    pub(crate) fn page(&self, path: &'static str, body: &str) {
        self.state.lock().unwrap().pages.insert(path, body.to_owned());
    }

    pub(crate) fn remove(&self, path: &str) {
        self.state.lock().unwrap().pages.remove(path);
    }

    pub(crate) fn fault(&self, fault: impl Into<Option<Fault>>) {
        self.state.lock().unwrap().everywhere = fault.into();
    }

    pub(crate) fn fault_at(&self, path: &'static str, fault: Fault) {
        self.state.lock().unwrap().faults.insert(path, fault);
    }

    /// No path has a fault of its own any more.
    pub(crate) fn mend_paths(&self) {
        self.state.lock().unwrap().faults.clear();
    }

    pub(crate) fn asked(&self, path: &str) -> usize {
        let seen = self.transport.seen();
        seen.iter().filter(|seen| seen.uri.ends_with(path)).count()
    }
}

impl State {
    /// `None`: hangs.
    pub(crate) fn answer(&mut self, request: &http::Request<bytes::Bytes>) -> Option<Outcome> {
        let path = request.uri().path().strip_prefix("/latest/").unwrap();
        let fault = self.everywhere.or_else(|| self.faults.get(path).copied());
        match fault {
            Some(Fault::Hang) => return None,
            Some(Fault::Refuse) => return Some(refused()),
            Some(Fault::Status(status)) => return Some(answer(status, "<html>an error page</html>")),
            Some(Fault::Empty) => return Some(answer(200, "")),
            Some(Fault::Page(page)) => return Some(answer(200, page)),
            None => {}
        }
        if request.method() == Method::PUT {
            assert_eq!(path, "api/token");
            assert_eq!(request.headers()["x-aws-ec2-metadata-token-ttl-seconds"], "21600");
            self.tokens_given += 1;
            let token = format!("token-{}", self.tokens_given);
            let mut given = answer(200, token).unwrap();
            let life = self.token_life.to_string().parse().unwrap();
            given.headers_mut().insert("x-aws-ec2-metadata-token-ttl-seconds", life);
            return Some(Ok(given));
        }
        let tokens: Vec<_> = request.headers().get_all("x-aws-ec2-metadata-token").iter().collect();
        assert_eq!(tokens.len(), 1, "one token, not a second one added");
        let number: u32 = tokens[0].to_str().unwrap().strip_prefix("token-").unwrap().parse().unwrap();
        if number <= self.refused_tokens {
            return Some(answer(401, "<html>unauthorized</html>"));
        }
        Some(match self.pages.get(path) {
            Some(page) => answer(200, page.clone()),
            None => answer(404, "<html>not found</html>"),
        })
    }
}
