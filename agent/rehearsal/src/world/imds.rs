//! The metadata service of one instance: IMDSv2 with token rules, identity, credentials, tags and notices.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use fastrand::Rng;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::faults::{MetadataFate, MetadataFault};
use super::identity::{Identity, SessionKeys};
use crate::crew::SELECTING_TAG;

const TOKEN_PATH: &str = "/latest/api/token";
const TOKEN: &str = "x-aws-ec2-metadata-token";
const TOKEN_TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// New credentials are handed out when the old ones end within this.
const RENEWAL: Duration = Duration::from_secs(300);

/// One instance's metadata.
#[derive(Debug)]
pub struct Imds {
    identity: Identity,
    tokens: BTreeMap<String, Instant>,
    credentials: Option<(SystemTime, SystemTime)>,
    trouble: Option<Trouble>,
    /// Whether the instance has a role.
    pub(super) has_role: bool,
    /// What is planned for the instance; absent things answer 404.
    pub notices: Notices,
    /// The instance's tags, readable because tags in metadata are on.
    pub tags: BTreeMap<String, String>,
}

/// For a while the service does not do as it should.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trouble {
    pub(super) fault: MetadataFault,
    pub(super) from: Instant,
    pub(super) until: Instant,
}

/// What AWS tells an instance about its future, each as the body of its path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notices {
    /// `spot/instance-action`.
    pub instance_action: Option<Value>,
    /// `events/recommendations/rebalance`.
    pub rebalance: Option<Value>,
    /// `events/maintenance/scheduled`; empty answers `[]`.
    pub scheduled: Vec<Value>,
    /// `autoscaling/target-lifecycle-state`.
    pub target_lifecycle_state: Option<String>,
}

/// When a request arrived, in both kinds of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) now: Instant,
    pub(super) wall: SystemTime,
}

impl Imds {
    pub(super) fn new(identity: Identity) -> Self {
        let tags = BTreeMap::from([
            ("Name".to_owned(), format!("sample-{}", identity.number)),
            (SELECTING_TAG.to_owned(), "true".to_owned()),
        ]);
        Self {
            identity,
            tokens: BTreeMap::new(),
            credentials: None,
            trouble: None,
            has_role: true,
            notices: Notices::default(),
            tags,
        }
    }

    /// The instance's id.
    pub(super) fn instance_id(&self) -> &str {
        &self.identity.instance_id
    }

    /// From now on, and while it lasts.
    pub(super) fn trouble(&mut self, trouble: Trouble) {
        self.trouble = Some(trouble);
    }

    /// Answers one request, or lets it fare as the trouble of the hour has it. `Err`: no answer before that time.
    pub(super) fn answer(
        &mut self,
        at: Arrival,
        request: &Request<Bytes>,
        rng: &mut Rng,
    ) -> Result<Response<Bytes>, Instant> {
        let trouble = self.trouble.filter(|trouble| (trouble.from..trouble.until).contains(&at.now));
        let Some(Trouble { fault, from, until }) = trouble else {
            return Ok(self.sound_answer(at, request, rng));
        };
        match fault.fate(at.now - from) {
            MetadataFate::Answered => Ok(self.sound_answer(at, request, rng)),
            MetadataFate::Hangs => Err(until),
            MetadataFate::Unavailable => Ok(text(StatusCode::SERVICE_UNAVAILABLE, page("503 - Service Unavailable"))),
            MetadataFate::Unauthorized if request.method() == Method::PUT => Ok(self.sound_answer(at, request, rng)),
            MetadataFate::Unauthorized => Ok(text(StatusCode::UNAUTHORIZED, page("401 - Unauthorized"))),
            MetadataFate::Empty => Ok(text(StatusCode::OK, String::new())),
        }
    }

    /// Answers one request as EC2's metadata service does.
    fn sound_answer(&mut self, at: Arrival, request: &Request<Bytes>, rng: &mut Rng) -> Response<Bytes> {
        let path = request.uri().path();
        if path.ends_with("/api/token") {
            return self.token(at.now, request, rng);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, String::new());
        }
        let Some(expiry) = self.valid_token(at.now, request.headers()) else {
            return text(StatusCode::UNAUTHORIZED, page("401 - Unauthorized"));
        };
        let Some(path) = path.strip_prefix("/latest") else {
            return not_found();
        };
        let mut response = match self.lookup(path, at.wall) {
            Some(body) => text(StatusCode::OK, body),
            None => not_found(),
        };
        let left = expiry.saturating_duration_since(at.now).as_secs();
        response.headers_mut().insert(TOKEN_TTL, left.into());
        response
    }

    fn token(&mut self, now: Instant, request: &Request<Bytes>, rng: &mut Rng) -> Response<Bytes> {
        if request.method() != Method::PUT {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, String::new());
            let allow = header::HeaderValue::from_static("OPTIONS, PUT");
            response.headers_mut().insert(header::ALLOW, allow);
            return response;
        }
        if request.uri().path() != TOKEN_PATH || request.headers().contains_key("x-forwarded-for") {
            return text(StatusCode::FORBIDDEN, page("403 - Forbidden"));
        }
        let ttl = request
            .headers()
            .get(TOKEN_TTL)
            .and_then(|value| value.to_str().ok()?.parse::<u32>().ok())
            .filter(|ttl| (1..=21_600).contains(ttl));
        let Some(ttl) = ttl else {
            return text(StatusCode::BAD_REQUEST, page("400 - Bad Request"));
        };
        self.tokens.retain(|_, expiry| *expiry > now);
        let token = format!("AQAE{:016x}{:016x}==", rng.u64(..), rng.u64(..));
        let expiry = now + Duration::from_secs(ttl.into());
        self.tokens.insert(token.clone(), expiry);
        let mut response = text(StatusCode::OK, token);
        response.headers_mut().insert(TOKEN_TTL, ttl.into());
        response
    }

    fn valid_token(&self, now: Instant, headers: &HeaderMap) -> Option<Instant> {
        let token = headers.get(TOKEN)?.to_str().ok()?;
        self.tokens.get(token).copied().filter(|expiry| *expiry > now)
    }

    /// The body at a path below `/latest`; `None` where EC2 answers 404.
    fn lookup(&mut self, path: &str, wall: SystemTime) -> Option<String> {
        let identity = &self.identity;
        let body = match path {
            "" | "/" => "dynamic\nmeta-data\nuser-data".to_owned(),
            "/dynamic/instance-identity/document" => pretty(&identity.document()),
            "/meta-data" | "/meta-data/" => DIRECTORY.to_owned(),
            "/meta-data/instance-id" => identity.instance_id.clone(),
            "/meta-data/instance-type" => identity.instance_type.to_owned(),
            "/meta-data/instance-life-cycle" => "spot".to_owned(),
            "/meta-data/instance-action" => "none".to_owned(),
            "/meta-data/ami-id" => identity.image_id.to_owned(),
            "/meta-data/local-ipv4" => identity.address.to_string(),
            "/meta-data/mac" => identity.mac(),
            "/meta-data/placement/availability-zone" => identity.zone.clone(),
            "/meta-data/placement/availability-zone-id" => "usw2-az1".to_owned(),
            "/meta-data/placement/region" => identity.region.to_owned(),
            "/meta-data/services/partition" => "aws".to_owned(),
            "/meta-data/services/domain" => "amazonaws.com".to_owned(),
            path if path.starts_with("/meta-data/iam") && !self.has_role => return None,
            "/meta-data/iam/info" => pretty(&identity.profile(wall)),
            "/meta-data/iam/security-credentials" | "/meta-data/iam/security-credentials/" => identity.role.to_owned(),
            "/meta-data/tags/instance" | "/meta-data/tags/instance/" => {
                let keys: Vec<_> = self.tags.keys().map(String::as_str).collect();
                keys.join("\n")
            }
            "/meta-data/spot/instance-action" => self.notices.instance_action.as_ref()?.to_string(),
            "/meta-data/spot/termination-time" => {
                let notice = self.notices.instance_action.as_ref()?;
                (notice["action"] == "terminate").then_some(())?;
                notice["time"].as_str()?.to_owned()
            }
            "/meta-data/events/recommendations/rebalance" => self.notices.rebalance.as_ref()?.to_string(),
            "/meta-data/events/maintenance/scheduled" => Value::from(self.notices.scheduled.clone()).to_string(),
            "/meta-data/events/maintenance/history" => "[]".to_owned(),
            "/meta-data/autoscaling/target-lifecycle-state" => self.notices.target_lifecycle_state.clone()?,
            path => {
                if let Some(key) = path.strip_prefix("/meta-data/tags/instance/") {
                    self.tags.get(key)?.clone()
                } else if path.strip_prefix("/meta-data/iam/security-credentials/") == Some(identity.role) {
                    pretty(&self.role_credentials(wall))
                } else {
                    return None;
                }
            }
        };
        Some(body)
    }

    fn role_credentials(&mut self, wall: SystemTime) -> Value {
        let (issued, expires) = match self.credentials {
            Some(current) if wall + RENEWAL < current.1 => current,
            Some(_) | None => (wall, wall + SessionKeys::LIFETIME),
        };
        self.credentials = Some((issued, expires));
        let keys = SessionKeys::of_instance(self.identity.number, expires);
        json!({
            "Code": "Success",
            "LastUpdated": rfc3339(issued),
            "Type": "AWS-HMAC",
            "AccessKeyId": keys.access_key_id,
            "SecretAccessKey": keys.secret_access_key,
            "Token": keys.session_token,
            "Expiration": rfc3339(expires),
        })
    }
}

const DIRECTORY: &str = "ami-id\ndynamic/\nevents/\niam/\ninstance-action\ninstance-id\ninstance-life-cycle\n\
                         instance-type\nlocal-ipv4\nmac\nplacement/\nservices/\ntags/";

pub(super) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

fn not_found() -> Response<Bytes> {
    text(StatusCode::NOT_FOUND, page("404 - Not Found"))
}

fn page(title: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 \
         Transitional//EN\"\n\t\"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n<html \
         xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\" lang=\"en\">\n <head>\n  <title>{title}</title>\n \
         </head>\n <body>\n  <h1>{title}</h1>\n </body>\n</html>\n"
    )
}

fn text(status: StatusCode, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain"));
    headers.insert(header::SERVER, header::HeaderValue::from_static("EC2ws"));
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    response
}
