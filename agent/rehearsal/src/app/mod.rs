//! The sample application: a small HTTP server that takes a while to start and has a version.
//!
//! It has no graceful stop: when it ends, whatever is in flight is lost. That is what makes it
//! worth deploying with care.

mod process;
mod release;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::time::sleep;

use crate::net::{self, Body, Net, whole};

pub use process::{Args, Error, main};
pub use release::Release;

/// Which version answered.
pub const VERSION_HEADER: &str = "x-version";

/// One application to run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens, in plain HTTP/1.1.
    pub listen: SocketAddr,
    /// What it runs.
    pub release: Release,
    /// How long it takes before it listens.
    pub start: Duration,
}

/// Starts, then answers until dropped; returns only when it cannot listen (any more).
///
/// Dropping the future stops the application at once and cuts every connection.
pub async fn run(net: Arc<dyn Net>, settings: Settings) -> io::Error {
    sleep(settings.start).await;
    let listener = match net.listen(settings.listen).await {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    let application = Arc::new(Application::new(&settings));
    net::serve(listener, move |_client, request| {
        let application = application.clone();
        async move { application.answer(&request).await }
    })
    .await
}

struct Application {
    headers: HeaderMap,
    greeting: Bytes,
    health: StatusCode,
}

impl Application {
    fn new(settings: &Settings) -> Self {
        let Release { version, healthy } = &settings.release;
        let mut headers = HeaderMap::new();
        if let Ok(version) = HeaderValue::try_from(version) {
            headers.insert(VERSION_HEADER, version);
        }
        Self {
            headers,
            greeting: Bytes::from(format!("{version}\n")),
            health: if *healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE },
        }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let (status, body) = match request.uri().path() {
            "/" => {
                if let Some(delay) = delay(request.uri().query()) {
                    sleep(delay).await;
                }
                (StatusCode::OK, self.greeting.clone())
            }
            "/health" => (self.health, self.greeting.clone()),
            _ => (StatusCode::NOT_FOUND, Bytes::from_static(b"ask for / or /health\n")),
        };
        let mut response = Response::new(whole(body));
        *response.status_mut() = status;
        *response.headers_mut() = self.headers.clone();
        response
    }
}

/// The `ms` of a query: how long the work of this request takes.
fn delay(query: Option<&str>) -> Option<Duration> {
    let milliseconds = query?.split('&').find_map(|pair| pair.strip_prefix("ms="))?;
    milliseconds.parse().ok().map(Duration::from_millis)
}
