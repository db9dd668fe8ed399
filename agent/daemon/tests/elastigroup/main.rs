//! The Elastigroup client against wire messages as its documents have them: what is sent, what is read, what is waited for.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod allowance;
mod calls;
#[path = "../scripted/mod.rs"]
mod scripted;
mod suspensions;
mod token;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials as AwsCredentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use http::Method;
use pitcrew::config;
use pitcrew::doors::{Credentials, TokioClock};
use pitcrew::effect::tags::Owner;
use pitcrew::effect::{Elastigroup, Tags, aws, elastigroup};
use pitcrew::intake::imds::{Endpoint, Imds};
use pitcrew_core::time::{Instant, Now, WallTime};
use scripted::{Outcome, Scripted, answer};

const SECOND: Duration = Duration::from_secs(1);
const GOOD: &str = r#"{"request":{"id":"r"},"response":{"status":{"code":200,"message":"OK"}}}"#;
const TOO_MANY: &str =
    r#"{"response":{"status":{"code":429,"message":"Too Many Requests"},"data":"Rate limit exceeded"}}"#;

/// What the API answers to method, path and body; metadata and EC2 answer for themselves.
type Script = dyn Fn(&Method, &str, &str) -> Outcome + Send + Sync;

fn world(tags: &'static [(&'static str, &'static str)], api: Box<Script>) -> Arc<Scripted> {
    Scripted::new(move |request| {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let body = String::from_utf8_lossy(request.body()).into_owned();
        let outcome = match request.uri().host() {
            Some("imds") if method == Method::PUT => answer(200, "token"),
            Some("imds") => {
                let found = tags.iter().find(|(key, _)| path.ends_with(key));
                found.map_or_else(|| answer(404, ""), |(_, value)| answer(200, *value))
            }
            Some("aws") if body.contains("DescribeTags") => answer(
                200,
                r#"<DescribeTagsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId><tagSet><item><resourceId>i-0me</resourceId><resourceType>instance</resourceType><key>spotinst:accountId</key><value>act-ec2</value></item><item><key>spotinst:aws:ec2:group:id</key><value>sig-ec2</value></item></tagSet></DescribeTagsResponse>"#,
            ),
            _ => api(&method, &path, &body),
        };
        async move { outcome }
    })
}

const TAGS: &[(&str, &str)] = &[("spotinst:aws:ec2:group:id", "sig-1"), ("spotinst:accountId", "act-1")];

fn client_with(transport: &Arc<Scripted>, token: &str) -> Elastigroup {
    let text = format!("elastigroup = {{ token = \"{token}\", base_url = \"http://spot/\", timeout = \"5s\" }}");
    let settings = config::read(&[(Path::new("a.toml"), &text)]).unwrap().into_settings();
    let clock = Arc::new(TokioClock::starting_at(Now { at: Instant(0), wall: WallTime(1_795_392_000_000) }));
    let doors = aws::Doors { transport: transport.clone(), clock };
    let credentials = SharedCredentialsProvider::new(AwsCredentials::new("AKID", "secret", None, None, "test"));
    let sdk = aws::fixed("eu-central-1", "http://aws", 5 * SECOND, credentials, &doors);
    let owner = Owner { partition: "aws", account: "1", domain: "amazonaws.com" };
    let tags = Tags::new(sdk.clone(), doors, "i-0me".into(), &owner);
    let imds = Imds::new(transport.clone(), Endpoint::at(&"http://imds".parse().unwrap()).unwrap(), SECOND);
    let doors = elastigroup::Doors {
        transport: transport.clone(),
        credentials: Credentials::default(),
        sdk,
        imds: Arc::new(imds),
        tags: Arc::new(tags),
        seed: 1,
    };
    Elastigroup::new(&settings.elastigroup, "i-0me".into(), doors).unwrap()
}

/// A file with a token that only its owner can read.
fn token_file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    fs::set_permissions(file.path(), Permissions::from_mode(0o600)).unwrap();
    file
}

fn client(transport: &Arc<Scripted>) -> (Elastigroup, tempfile::NamedTempFile) {
    let file = token_file("s3cr3t\n");
    (client_with(transport, file.path().to_str().unwrap()), file)
}

/// The requests that reached Elastigroup: method, path and query, body.
fn calls(transport: &Scripted) -> Vec<(String, String, String)> {
    let seen = transport.seen().into_iter();
    let of_spot =
        seen.filter_map(|seen| Some((seen.method, seen.uri.strip_prefix("http://spot")?.to_owned(), seen.body)));
    of_spot.collect()
}

fn always(status: u16, body: &'static str) -> Box<Script> {
    Box::new(move |_, _, _| answer(status, body))
}
