//! The last effects, against wire messages as AWS documents them: tags, the lifecycle hook, the webhook.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod announced;
mod release;
#[path = "../scripted/mod.rs"]
mod scripted;
mod tags;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_credential_types::Credentials as AwsCredentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use pitcrew::config::{self, Leave};
use pitcrew::doors::{Credentials, TokioClock};
use pitcrew::effect::announce::Announcement;
use pitcrew::effect::{Announcer, AutoScaling, Release, Tags, aws, tags::Owner};
use pitcrew::intake::imds::Identity;
use pitcrew_core::notice::NoticeKind;
use pitcrew_core::time::{Instant, Now, WallTime};
use pitcrew_core::wire::{FailureKind, Moment};
use scripted::{Outcome, Scripted, answer, form, refused};
use tokio::time::timeout;

const SECOND: Duration = Duration::from_secs(1);

/// 2026-11-23T00:00:00Z, an hour after boot.
const START: Now = Now { at: Instant(3_600_000), wall: WallTime(1_795_392_000_000) };

fn doors(transport: &Arc<Scripted>) -> aws::Doors {
    aws::Doors { transport: transport.clone(), clock: Arc::new(TokioClock::starting_at(START)) }
}

fn sdk(transport: &Arc<Scripted>) -> aws_config::SdkConfig {
    let credentials = AwsCredentials::new("AKIDEXAMPLE", "secret", Some("session".to_owned()), None, "test");
    let credentials = SharedCredentialsProvider::new(credentials);
    aws::fixed("eu-central-1", "http://stand-in", 5 * SECOND, credentials, &doors(transport))
}

fn by_form(script: impl Fn(&BTreeMap<String, String>) -> Outcome + Send + Sync + 'static) -> Arc<Scripted> {
    Scripted::new(move |request| {
        let outcome = script(&form(std::str::from_utf8(request.body()).unwrap()));
        async move { outcome }
    })
}
