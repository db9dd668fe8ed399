//! The Elastigroup client against wire messages as its documents have them: what is sent, what is read, what is waited for.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::Credentials as AwsCredentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use http::{Method, Response};
use pitcrew::config;
use pitcrew::doors::{Credentials, TokioClock};
use pitcrew::effect::tags::Owner;
use pitcrew::effect::{Elastigroup, Tags, aws, elastigroup};
use pitcrew::intake::imds::{Endpoint, Imds};
use pitcrew_core::elastigroup::{Declared, Life, Load, Order, Process, Receipt, Reply, Signal};
use pitcrew_core::time::{Instant, Now, WallTime};
use pitcrew_core::wire::FailureKind;
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

#[tokio::test(start_paused = true)]
async fn each_order_is_the_documented_call_with_account_and_token() {
    let transport = world(TAGS, always(200, GOOD));
    let (client, _file) = client(&transport);
    let table = [
        (Order::Lock { minutes: 80 }, "POST", "/aws/ec2/instance/i-0me/lock?accountId=act-1&ttlInMinutes=80", ""),
        (Order::Unlock, "POST", "/aws/ec2/instance/i-0me/unlock?accountId=act-1", ""),
        (Order::EnterStandby, "POST", "/aws/ec2/instance/i-0me/standby/enter?accountId=act-1", ""),
        (Order::ExitStandby, "POST", "/aws/ec2/instance/i-0me/standby/exit?accountId=act-1", ""),
        (
            Order::Signal(Signal::ReadyToShutdown),
            "POST",
            "/aws/ec2/instance/signal?accountId=act-1",
            r#"{"instanceId":"i-0me","signal":"INSTANCE_READY_TO_SHUTDOWN"}"#,
        ),
    ];
    for (n, (order, method, uri, body)) in table.into_iter().enumerate() {
        client.carry_out(&order).await.unwrap();
        assert_eq!(calls(&transport)[n], (method.to_owned(), uri.to_owned(), body.to_owned()));
    }
    let seen = transport.seen();
    let call = seen.iter().find(|seen| seen.uri.starts_with("http://spot")).unwrap();
    assert_eq!(call.headers["authorization"], "Bearer s3cr3t");
    assert!(call.headers["authorization"].is_sensitive());
    client.detach(true).await.unwrap();
    let (method, uri, body) = calls(&transport).pop().unwrap();
    assert_eq!((method.as_str(), uri.as_str()), ("PUT", "/aws/ec2/group/sig-1/detachInstances?accountId=act-1"));
    assert!(
        body.contains(r#""instancesToDetach":["i-0me"]"#) && body.contains(r#""shouldDecrementTargetCapacity":true"#)
    );
}

#[tokio::test(start_paused = true)]
async fn own_state_group_signal_and_health_are_read() {
    let script: Box<Script> = Box::new(|_, path, _| {
        let items = match path.rsplit('/').next().unwrap() {
            "i-0me" => r#"[{"instanceId":"i-0me","lifeCycleState":"Terminating"}]"#,
            "signal" => {
                r#"[{"type":"INSTANCE_READY","signalExpiresAt":"2018-06-25T11:49:00.000Z","message":"crossed"}]"#
            }
            "instanceHealthiness" => r#"[{"instanceId":"i-0me","healthStatus":"HEALTHY","lifeCycle":"SPOT"}]"#,
            _ => {
                r#"[{"group":{"strategy":{"drainingTimeout":240,"signals":[{"name":"INSTANCE_READY","timeout":900}]}}}]"#
            }
        };
        let body = format!(r#"{{"response":{{"status":{{"code":200}},"items":{items}}}}}"#);
        let answer = Response::builder().header("X-RateLimit-Limit", "100").header("X-RateLimit-Remaining", "60");
        Ok(answer.body(body.into()).unwrap())
    });
    let transport = world(TAGS, script);
    let (client, _file) = client(&transport);
    let seen = client.carry_out(&Order::Look).await.unwrap();
    assert_eq!(seen, Reply::Seen { life: Life::Terminating, load: Some(Load { limit: 100, used: 40 }) });
    let declared =
        Declared { draining_timeout: Some(240 * SECOND), ready_timeout: Some(900 * SECOND), shutdown_timeout: None };
    assert_eq!(client.carry_out(&Order::ReadGroup).await.unwrap(), Reply::Group(declared));
    let receipt = Receipt { expires: Some(WallTime(1_529_927_340_000)), message: Some("crossed".into()) };
    assert_eq!(client.carry_out(&Order::Signal(Signal::Ready)).await.unwrap(), Reply::Signalled(receipt));
    assert_eq!(client.healthiness().await.unwrap()[0].health, "HEALTHY");
}

#[tokio::test(start_paused = true)]
async fn without_tags_in_the_metadata_the_ec2_api_tells_the_group() {
    let transport = world(&[], always(200, GOOD));
    let (client, _file) = client(&transport);
    client.carry_out(&Order::Unlock).await.unwrap();
    assert!(calls(&transport)[0].1.ends_with("unlock?accountId=act-ec2"));
    client.carry_out(&Order::Unlock).await.unwrap();
    let asked = transport.seen().iter().filter(|seen| seen.body.contains("DescribeTags")).count();
    assert_eq!(asked, 1, "once is enough");
}

#[tokio::test(start_paused = true)]
async fn after_a_429_a_route_is_asked_again_when_it_is_reset_and_not_before() {
    let calls_made = Arc::new(AtomicUsize::new(0));
    let counted = calls_made.clone();
    let script: Box<Script> = Box::new(move |_, _, _| match counted.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(Response::builder().status(429).header("X-RateLimit-Reset", "20").body(TOO_MANY.into()).unwrap()),
        _ => answer(200, GOOD),
    });
    let transport = world(TAGS, script);
    let (client, _file) = client(&transport);
    let failure = client.carry_out(&Order::Lock { minutes: 5 }).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Throttled);
    let began = tokio::time::Instant::now();
    client.carry_out(&Order::Lock { minutes: 5 }).await.unwrap();
    let waited = began.elapsed();
    assert!(waited >= 20 * SECOND && waited <= 31 * SECOND, "{waited:?}");
    assert_eq!(calls_made.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_question_does_not_wait_for_the_allowance() {
    let script: Box<Script> = Box::new(|_, _, _| {
        Ok(Response::builder().status(429).header("X-RateLimit-Reset", "600").body(TOO_MANY.into()).unwrap())
    });
    let transport = world(TAGS, script);
    let (client, _file) = client(&transport);
    let first = client.carry_out(&Order::Look).await.unwrap_err();
    let began = tokio::time::Instant::now();
    let second = client.carry_out(&Order::Look).await.unwrap_err();
    assert_eq!(first, second, "the same trouble is said in the same words");
    assert_eq!((began.elapsed(), calls(&transport).len()), (Duration::ZERO, 1));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_replaced_counts_at_once_and_is_never_shown() {
    let accepted = Arc::new(Mutex::new("first".to_owned()));
    let valid = accepted.clone();
    let transport = Scripted::new(move |request| {
        let token = request.headers().get("authorization").map(|token| token.to_str().unwrap().to_owned());
        let outcome = match (request.uri().host(), request.method()) {
            (Some("imds"), &Method::PUT) => answer(200, "token"),
            (Some("imds"), _) if request.uri().path().ends_with("accountId") => answer(200, "act-1"),
            (Some("imds"), _) => answer(200, "sig-1"),
            _ if token == Some(format!("Bearer {}", valid.lock().unwrap())) => answer(200, GOOD),
            _ => answer(401, r#"{"response":{"status":{"code":401,"message":"Unauthorized"}}}"#),
        };
        async move { outcome }
    });
    let file = token_file("first");
    let client = client_with(&transport, file.path().to_str().unwrap());
    client.carry_out(&Order::Unlock).await.unwrap();
    *accepted.lock().unwrap() = "second".to_owned();
    let failure = client.carry_out(&Order::Unlock).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Denied);
    assert!(
        failure.sentence.contains("[elastigroup] token") && !failure.sentence.contains("first"),
        "{}",
        failure.sentence
    );
    fs::write(file.path(), "second").unwrap();
    client.carry_out(&Order::Unlock).await.unwrap();
    fs::set_permissions(file.path(), Permissions::from_mode(0o644)).unwrap();
    let failure = client.carry_out(&Order::Unlock).await.unwrap_err();
    assert!(failure.sentence.contains("chmod 600"), "{}", failure.sentence);
}

#[tokio::test(start_paused = true)]
async fn a_token_in_a_parameter_is_kept_and_read_again_when_it_is_refused() {
    let valid = Arc::new(Mutex::new("first".to_owned()));
    let (stored, reads) = (valid.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = reads.clone();
    let transport = Scripted::new(move |request| {
        let token = request.headers().get("authorization").map(|token| token.to_str().unwrap().to_owned());
        let ssm = request.headers().get("x-amz-target").is_some_and(|target| target == "AmazonSSM.GetParameter");
        let value = stored.lock().unwrap().clone();
        let outcome = match (request.uri().host(), request.method()) {
            (Some("imds"), &Method::PUT) => answer(200, "token"),
            (Some("imds"), _) if request.uri().path().ends_with("accountId") => answer(200, "act-1"),
            (Some("imds"), _) => answer(200, "sig-1"),
            _ if ssm => {
                counted.fetch_add(1, Ordering::Relaxed);
                assert!(String::from_utf8_lossy(request.body()).contains(r#""WithDecryption":true"#));
                answer(200, format!(r#"{{"Parameter":{{"Name":"/spot","Type":"SecureString","Value":"{value}"}}}}"#))
            }
            _ if token == Some(format!("Bearer {value}")) => answer(200, GOOD),
            _ => answer(401, "{}"),
        };
        async move { outcome }
    });
    let client = client_with(&transport, "ssm:/spot");
    client.carry_out(&Order::Unlock).await.unwrap();
    client.carry_out(&Order::Unlock).await.unwrap();
    assert_eq!(reads.load(Ordering::Relaxed), 1);
    *valid.lock().unwrap() = "second".to_owned();
    client.carry_out(&Order::Unlock).await.unwrap();
    assert_eq!(reads.load(Ordering::Relaxed), 2, "rotated: read again, and the call was made once more");
}

/// A group with these suspensions and members, which remembers what is changed.
fn group(suspended: &'static str, status: &'static str, refuses_repeats: bool) -> Arc<Scripted> {
    let script: Box<Script> = Box::new(move |method, path, _| {
        let items = if path.ends_with("/status") { status } else { suspended };
        let body = format!(r#"{{"response":{{"status":{{"code":200}},"items":[{items}]}}}}"#);
        if refuses_repeats && *method == Method::POST {
            return answer(400, r#"{"response":{"status":{"code":400},"errors":[{"code":"GENERAL_ERROR"}]}}"#);
        }
        Ok(Response::builder().header("Date", "Mon, 25 Jun 2018 11:00:00 GMT").body(body.into()).unwrap())
    });
    world(TAGS, script)
}

fn changes(transport: &Scripted) -> Vec<String> {
    let all = calls(transport).into_iter().filter(|(method, ..)| method != "GET");
    all.map(|(method, _, body)| format!("{method} {body}")).collect()
}

const BOTH: [Process; 2] = [Process::AutoHealing, Process::AutoScale];

#[tokio::test(start_paused = true)]
async fn only_what_is_not_suspended_for_long_enough_is_suspended() {
    let suspended = r#"{"suspensions":[{"name":"AUTO_HEALING","expiresAt":"2018-06-25T11:49:00.000Z"},{"name":"AUTO_SCALE","expiresAt":null}]}"#;
    let transport = group(suspended, "", false);
    let (client, _file) = client(&transport);
    client.carry_out(&Order::Suspend { processes: BOTH.to_vec(), minutes: 48 }).await.unwrap();
    assert!(changes(&transport).is_empty(), "{:?}", changes(&transport));
    client.carry_out(&Order::Suspend { processes: BOTH.to_vec(), minutes: 80 }).await.unwrap();
    assert_eq!(changes(&transport), [r#"POST {"suspensions":[{"name":"AUTO_HEALING","ttlInMinutes":80}]}"#]);
}

#[tokio::test(start_paused = true)]
async fn a_suspension_that_cannot_be_prolonged_is_ended_and_begun_again() {
    let transport =
        group(r#"{"suspensions":[{"name":"AUTO_HEALING","expiresAt":"2018-06-25T11:05:00.000Z"}]}"#, "", true);
    let (client, _file) = client(&transport);
    let order = Order::Suspend { processes: vec![Process::AutoHealing], minutes: 80 };
    assert_eq!(client.carry_out(&order).await.unwrap_err().kind, FailureKind::Invalid);
    let changes = changes(&transport);
    assert_eq!(changes.len(), 3, "{changes:?}");
    assert_eq!(changes[1], r#"DELETE {"processes":["AUTO_HEALING"]}"#);
}

#[tokio::test(start_paused = true)]
async fn suspensions_end_with_the_last_instance_that_is_deployed_to() {
    let ours = r#"{"suspensions":[{"name":"AUTO_HEALING","expiresAt":"2018-06-25T11:49:00.000Z"},{"name":"AUTO_SCALE","expiresAt":null}]}"#;
    let order = |minutes| Order::Resume { processes: BOTH.to_vec(), minutes };
    let alone = r#"{"instanceId":"i-0me","lockStatus":"locked"},{"instanceId":"i-2","lockStatus":"unlocked"}"#;
    let busy = r#"{"instanceId":"i-0me","lockStatus":"unlocked"},{"instanceId":"i-2","lockStatus":"Locked"}"#;
    let table: [(&str, u32, &[&str]); 3] =
        [(alone, 49, &[r#"DELETE {"processes":["AUTO_HEALING"]}"#]), (busy, 49, &[]), (alone, 20, &[])];
    for (status, minutes, expected) in table {
        let transport = group(ours, status, false);
        let (client, _file) = client(&transport);
        client.carry_out(&order(minutes)).await.unwrap();
        assert_eq!(changes(&transport), expected, "{status} {minutes}");
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_comes_instead_of_an_answer_has_a_kind_and_says_what_is_lost() {
    let table: [(u16, &'static str, FailureKind); 5] = [
        (500, "", FailureKind::Unavailable),
        (200, "<html>", FailureKind::Unavailable),
        (403, GOOD, FailureKind::Denied),
        (404, "{}", FailureKind::NotFound),
        (400, "{}", FailureKind::Invalid),
    ];
    for (status, body, kind) in table {
        let transport = world(TAGS, always(status, body));
        let (client, _file) = client(&transport);
        let failure = client.carry_out(&Order::Lock { minutes: 1 }).await.unwrap_err();
        assert_eq!(failure.kind, kind, "{status} {body}");
        assert!(failure.sentence.contains("not locked"), "{}", failure.sentence);
    }
    let transport = world(TAGS, always(200, GOOD));
    let (client, _file) = client(&transport);
    let seen = client.carry_out(&Order::Look).await.unwrap();
    assert_eq!(seen, Reply::Seen { life: Life::Unknown("nothing".to_owned()), load: None }, "items may be missing");
    assert!(client.carry_out(&Order::ReadGroup).await.is_err());
}
