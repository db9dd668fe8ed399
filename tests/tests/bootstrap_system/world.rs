//! AWS as the instance sees it: metadata, an S3 layout and EC2, on the addresses and under the names of the real ones.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use pitcrew_tests::aws::signature;
pub(crate) use pitcrew_tests::aws::{INSTANCE, REGION, Role};
use pitcrew_tests::aws::{authority, metadata as documents};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub(crate) const S3: &str = "s3.eu-west-1.amazonaws.com";
pub(crate) const EC2: &str = "ec2.eu-west-1.amazonaws.com";

/// What the world holds and what it has heard.
pub(crate) struct State {
    pub(crate) instance: String,
    pub(crate) user_data: Vec<u8>,
    pub(crate) role: Role,
    /// Whether a call with a wrong signature is refused.
    pub(crate) checks_signatures: bool,
    /// Objects by `host/path`.
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    /// Every request in order, as `METHOD host/path`.
    pub(crate) heard: Vec<String>,
    /// Accepted `CreateTags` calls: their parameters by name.
    pub(crate) tagged: Vec<BTreeMap<String, String>>,
    /// `CreateTags` calls that were refused, and why.
    pub(crate) refused: Vec<String>,
}

/// The running world; it ends with the test.
pub(crate) struct World {
    pub(crate) state: Arc<Mutex<State>>,
    /// Certificate of the authority that signed the servers' ones, PEM.
    pub(crate) authority: String,
    _servers: JoinSet<()>,
}

impl World {
    /// Answers on these sockets: `metadata` in plain HTTP, `services` in TLS under the names of S3 and EC2.
    pub(crate) fn start(metadata: TcpListener, services: TcpListener) -> Self {
        let (authority, config) = authority::serving(&[S3, EC2]);
        let acceptor = TlsAcceptor::from(config);
        let state = Arc::new(Mutex::new(State {
            instance: INSTANCE.to_owned(),
            user_data: Vec::new(),
            role: Role::default(),
            checks_signatures: true,
            objects: BTreeMap::new(),
            heard: Vec::new(),
            tagged: Vec::new(),
            refused: Vec::new(),
        }));
        let mut servers = JoinSet::new();
        let metadata = tokio::net::TcpListener::from_std(metadata).unwrap();
        let metadata_state = Arc::clone(&state);
        servers.spawn(async move {
            while let Ok((connection, _)) = metadata.accept().await {
                tokio::spawn(serve(connection, Side::Metadata, Arc::clone(&metadata_state)));
            }
        });
        let services = tokio::net::TcpListener::from_std(services).unwrap();
        let services_state = Arc::clone(&state);
        servers.spawn(async move {
            while let Ok((connection, _)) = services.accept().await {
                let (acceptor, state) = (acceptor.clone(), Arc::clone(&services_state));
                tokio::spawn(async move {
                    if let Ok(connection) = acceptor.accept(connection).await {
                        serve(connection, Side::Services, state).await;
                    }
                });
            }
        });
        Self { state, authority, _servers: servers }
    }

    /// Looks at or changes the state.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts an object into the S3 layout, `bucket/key`; the answer is the one that was there before.
    pub(crate) fn put(&self, key: &str, object: Vec<u8>) -> Option<Vec<u8>> {
        self.with(|state| state.objects.insert(format!("{S3}/{key}"), object))
    }
}

/// Which of the two sockets a request came in by.
#[derive(Debug, Clone, Copy)]
enum Side {
    Metadata,
    Services,
}

async fn serve<Connection>(connection: Connection, side: Side, state: Arc<Mutex<State>>)
where
    Connection: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| answer(request, side, Arc::clone(&state)));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
}

async fn answer(
    request: Request<Incoming>,
    side: Side,
    state: Arc<Mutex<State>>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let host = parts.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let place = format!("{host}{}", parts.uri.path());
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    state.heard.push(format!("{} {place}", parts.method));
    let (status, bytes) = match side {
        Side::Metadata => metadata(&state, parts.uri.path()),
        Side::Services if host == EC2 => create_tags(&mut state, &parts, &body),
        Side::Services => state.objects.get(&place).map_or((404, Vec::new()), |object| (200, object.clone())),
    };
    let mut response = Response::new(Full::new(bytes.into()));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap();
    Ok(response)
}

/// The metadata service. It answers calls without a token too: in a container cloud-init sends none.
fn metadata(state: &State, path: &str) -> (u16, Vec<u8>) {
    let version = path.split('/').nth(1).unwrap_or_default();
    let key = path.trim_start_matches('/').trim_start_matches(version).trim_matches('/');
    let text = match key {
        "" => "dynamic\nmeta-data\nuser-data".to_owned(),
        "api/token" => "a-session-token".to_owned(),
        "user-data" => return (200, state.user_data.clone()),
        "meta-data" => "instance-id\nlocal-hostname\nplacement/".to_owned(),
        "meta-data/instance-id" => state.instance.clone(),
        "meta-data/local-hostname" => "ip-10-0-0-1".to_owned(),
        "meta-data/placement" => "availability-zone".to_owned(),
        "meta-data/placement/availability-zone" => format!("{REGION}a"),
        "dynamic" => "instance-identity/".to_owned(),
        "dynamic/instance-identity" => "document".to_owned(),
        other => match documents::text(other, &state.instance, &state.role) {
            Some(text) => text,
            None => return (404, Vec::new()),
        },
    };
    (200, text.into_bytes())
}

fn create_tags(state: &mut State, parts: &hyper::http::request::Parts, body: &[u8]) -> (u16, Vec<u8>) {
    let form: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
    let flaw = if form.get("Action").map(String::as_str) == Some("CreateTags") {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let call = signature::Call {
            method: parts.method.as_str(),
            host: header("host"),
            path: parts.uri.path(),
            content_type: header("content-type"),
            date: header("x-amz-date"),
            token: header("x-amz-security-token"),
            authorization: header("authorization"),
            body,
        };
        call.flaw(&state.role).filter(|_| state.checks_signatures)
    } else {
        Some("not CreateTags".to_owned())
    };
    match flaw {
        None => {
            state.tagged.push(form);
            (200, b"<CreateTagsResponse><return>true</return></CreateTagsResponse>".to_vec())
        }
        Some(flaw) => {
            state.refused.push(flaw);
            (401, b"<Response><Errors><Error><Code>AuthFailure</Code></Error></Errors></Response>".to_vec())
        }
    }
}
