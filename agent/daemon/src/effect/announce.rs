//! Tells the operator's webhook and programs what becomes of this instance. Nothing waits for them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, StatusCode, Uri};
use pitcrew_core::notice::NoticeKind;
use pitcrew_core::time::{Instant, WallTime};
use pitcrew_core::wire::Moment;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::process::Command;
use tokio::time::sleep;
use tracing::{info, warn};

use super::process;
use crate::config::{Address, Commands, Fill, Webhook};
use crate::doors::{Clock, Credentials, Transport, with_causes};
use crate::intake::imds::Identity;

/// For one try.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is told at the end is tried for at least so long.
const LEAST: Duration = Duration::from_secs(5);

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// For one of the operator's programs.
const PROGRAM: Duration = Duration::from_secs(30);

/// Something to tell.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// At which turn.
    pub moment: Moment,
    /// Why the instance leaves.
    pub why: NoticeKind,
    /// What happened.
    pub sentence: String,
    /// When all must be done.
    pub deadline: Instant,
}

/// Tells whom the operator named.
pub struct Announcer {
    /// `[leave] webhook`.
    pub webhook: Option<Webhook>,
    /// `[leave] commands`.
    pub commands: Commands,
    /// Where the webhook's secrets are.
    pub credentials: Credentials,
    /// Who leaves.
    pub identity: Identity,
    /// Carries the webhook.
    pub transport: Arc<dyn Transport>,
    /// Says how much time is left.
    pub clock: Arc<dyn Clock>,
    /// Spreads a fleet's tries.
    pub seed: u64,
}

impl Announcer {
    /// Tells everybody, and tries again until it worked or the time is over. What went wrong is in the log.
    pub async fn announce(&self, announcement: Announcement) {
        let told = Told::of(&announcement, &self.identity, self.clock.as_ref());
        let until = announcement.deadline.max(self.clock.now().at.after(LEAST));
        join(self.call(&told, until), self.execute(announcement.moment, &told)).await;
    }

    async fn call(&self, told: &Told, until: Instant) {
        let Some(webhook) = &self.webhook else { return };
        let request = match self.request(webhook, told) {
            Ok(request) => request,
            Err(why) => return warn!("the webhook was not told: {why}"),
        };
        let mut random = fastrand::Rng::with_seed(self.seed);
        let mut pause = FIRST_PAUSE;
        loop {
            let left = until.remaining(self.clock.now().at);
            let why = match self.transport.send(request.clone(), PATIENCE.min(left)).await {
                Ok(answer) if answer.status().is_success() => {
                    return info!(moment = told.moment, "the webhook was told");
                }
                Ok(answer) if !may_pass(answer.status()) => {
                    return warn!("the webhook refused what it was told: it answered {}", answer.status());
                }
                Ok(answer) => format!("it answered {}", answer.status()),
                Err(error) => with_causes(&error),
            };
            let wait = pause.mul_f64(0.5 + random.f64() / 2.0);
            if until.remaining(self.clock.now().at) <= wait {
                return warn!("the webhook was not told in time: {why}");
            }
            sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn request(&self, webhook: &Webhook, told: &Told) -> Result<Request<Bytes>, String> {
        let secret = |credential| self.credentials.read(credential).map_err(|error| with_causes(&error));
        let url = match &webhook.url {
            Address::Plain(url) => url.clone(),
            Address::Secret(credential) => {
                let text = secret(credential)?;
                text.parse::<Uri>().map_err(|_| format!("credential `{}` holds no address", credential.0))?
            }
        };
        let body = webhook.body.filled(|fill| told.value(fill));
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = url;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("pitcrew/", env!("CARGO_PKG_VERSION"))));
        for (name, credential) in &webhook.headers {
            let header = name.parse::<HeaderName>().map_err(|_| format!("`{name}` is no name of a header"))?;
            let mut value = HeaderValue::from_str(&secret(credential)?)
                .map_err(|_| format!("credential `{}` holds what no header can carry", credential.0))?;
            value.set_sensitive(true);
            headers.insert(header, value);
        }
        Ok(request)
    }

    async fn execute(&self, moment: Moment, told: &Told) {
        let words = match moment {
            Moment::Noticed => &self.commands.noticed,
            Moment::Left => &self.commands.left,
            Moment::LeftBadly => &self.commands.left_badly,
        };
        let Some((program, arguments)) = words.split_first() else { return };
        let mut command = Command::new(program);
        command.args(arguments);
        for fill in Fill::all() {
            command.env(format!("PITCREW_{}", fill.word().to_uppercase()), told.value(fill));
        }
        match process::run(command, program, PROGRAM).await {
            Ok(how) => info!("{program} {how}"),
            Err(how) => warn!("{program} {how}"),
        }
    }
}

/// What is told, in words.
struct Told {
    reason: &'static str,
    moment: &'static str,
    sentence: String,
    instance: String,
    region: String,
    account: String,
    deadline: String,
}

impl Told {
    fn of(announcement: &Announcement, identity: &Identity, clock: &dyn Clock) -> Self {
        let now = clock.now();
        let left = announcement.deadline.remaining(now.at);
        Self {
            reason: announcement.why.word(),
            moment: match announcement.moment {
                Moment::Noticed => "noticed",
                Moment::Left => "left",
                Moment::LeftBadly => "left_badly",
            },
            sentence: announcement.sentence.clone(),
            instance: identity.instance.to_string(),
            region: identity.region.clone(),
            account: identity.account.clone(),
            deadline: written(WallTime(now.wall.0.saturating_add(pitcrew_core::time::millis(left)))),
        }
    }

    fn value(&self, fill: Fill) -> &str {
        match fill {
            Fill::Reason => self.reason,
            Fill::Moment => self.moment,
            Fill::Sentence => &self.sentence,
            Fill::Instance => &self.instance,
            Fill::Region => &self.region,
            Fill::Account => &self.account,
            Fill::Deadline => &self.deadline,
        }
    }
}

/// Whole seconds in RFC 3339; empty for a time that no calendar knows.
fn written(time: WallTime) -> String {
    let seconds = i64::try_from(time.0 / 1000).unwrap_or(i64::MAX);
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

/// Whether the same request may work in a moment.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT || status == StatusCode::TOO_MANY_REQUESTS
}

impl std::fmt::Debug for Announcer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Announcer({:?})", self.identity.instance)
    }
}
