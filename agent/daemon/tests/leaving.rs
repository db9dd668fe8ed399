//! The last effects, against wire messages as AWS documents them: tags, the lifecycle hook, the webhook.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

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

fn tags(transport: &Arc<Scripted>) -> Tags {
    let owner = Owner { partition: "aws", account: "123456789012", domain: "amazonaws.com" };
    Tags::new(sdk(transport), doors(transport), "i-0me".into(), &owner)
}

/// An error of the EC2 API.
fn ec2_refusal(status: u16, code: &str, message: &str) -> Outcome {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>r-1</RequestID></Response>"
    );
    answer(status, body)
}

#[tokio::test(start_paused = true)]
async fn tags_are_removed_by_key_in_one_signed_call() {
    let transport = by_form(|_| {
        answer(
            200,
            r#"<DeleteTagsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><return>true</return></DeleteTagsResponse>"#,
        )
    });
    tags(&transport).delete(&["deploy group".to_owned(), "pitcrew:ready".to_owned()]).await.unwrap();
    let seen = transport.seen();
    let [call] = seen.as_slice() else { panic!("one call") };
    assert_eq!((call.method.as_str(), call.uri.as_str()), ("POST", "http://stand-in/"));
    assert_eq!(
        call.body,
        "Action=DeleteTags&Version=2016-11-15&ResourceId.1=i-0me&Tag.1.Key=deploy+group&Tag.2.Key=pitcrew%3Aready"
    );
    let header = |name: &str| call.headers[name].to_str().unwrap();
    assert_eq!(header("content-type"), "application/x-www-form-urlencoded; charset=utf-8");
    assert_eq!(header("x-amz-date"), "20261123T000000Z");
    assert_eq!(header("x-amz-security-token"), "session");
    let authorization = header("authorization");
    let signed = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/eu-central-1/ec2/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=";
    assert!(authorization.starts_with(signed), "{authorization}");
}

#[tokio::test(start_paused = true)]
async fn tags_are_set_with_their_values() {
    let transport = by_form(|_| answer(200, "<CreateTagsResponse><return>true</return></CreateTagsResponse>"));
    tags(&transport).create(&[("pitcrew:state", "leaving"), ("empty", "")]).await.unwrap();
    assert_eq!(
        transport.seen()[0].body,
        "Action=CreateTags&Version=2016-11-15&ResourceId.1=i-0me&Tag.1.Key=pitcrew%3Astate&Tag.1.Value=leaving&Tag.2.Key=empty&Tag.2.Value="
    );
}

#[tokio::test(start_paused = true)]
async fn what_ec2_refuses_is_said_by_what_helps() {
    let table = [
        (ec2_refusal(503, "RequestLimitExceeded", "Request limit exceeded."), FailureKind::Throttled, "was throttled"),
        (
            ec2_refusal(403, "UnauthorizedOperation", "You are not authorized to perform this operation."),
            FailureKind::Denied,
            "allow ec2:DeleteTags on arn:aws:ec2:eu-central-1:123456789012:instance/i-0me",
        ),
        (
            ec2_refusal(400, "InvalidInstanceID.NotFound", "No such &lt;instance&gt;"),
            FailureKind::NotFound,
            "No such <instance>",
        ),
        (ec2_refusal(400, "TagLimitExceeded", "Too many"), FailureKind::Invalid, "TagLimitExceeded: Too many"),
        (ec2_refusal(500, "InternalError", "Oops"), FailureKind::Unavailable, "InternalError"),
        (answer(502, "<html><body>Bad gateway"), FailureKind::Unavailable, "HTTP 502"),
        (answer(302, ""), FailureKind::Unavailable, "HTTP 302"),
        (refused(), FailureKind::Unavailable, "no connection"),
    ];
    for (outcome, kind, part) in table {
        let outcome = std::sync::Mutex::new(Some(outcome));
        let transport = by_form(move |_| outcome.lock().unwrap().take().unwrap());
        let failure = tags(&transport).delete(&["deploy".to_owned()]).await.unwrap_err();
        assert_eq!(failure.kind, kind, "{}", failure.sentence);
        assert!(failure.sentence.contains(part), "{}", failure.sentence);
    }
}

#[tokio::test(start_paused = true)]
async fn ec2_is_asked_at_its_regional_address() {
    let transport = by_form(|_| answer(200, "<r/>"));
    for (domain, expected) in [
        ("amazonaws.com", "https://ec2.eu-central-1.amazonaws.com/"),
        ("amazonaws.com.cn", "https://ec2.eu-central-1.amazonaws.com.cn/"),
    ] {
        let owner = Owner { partition: "aws", account: "1", domain };
        let config = sdk(&transport).into_builder();
        let mut config = config;
        config.set_endpoint_url(None);
        Tags::new(config.build(), doors(&transport), "i-0me".into(), &owner).delete(&["a".to_owned()]).await.unwrap();
        assert_eq!(transport.seen().last().unwrap().uri, expected);
    }
}

/// Auto Scaling, with the instance in this state and these hooks.
fn auto_scaling(state: Option<&'static str>, hooks: Hooks) -> Arc<Scripted> {
    by_form(move |form| {
        let xml = |action: &str, result: String| {
            answer(
                200,
                format!(
                    r#"<{action}Response xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><{action}Result>{result}</{action}Result><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></{action}Response>"#
                ),
            )
        };
        let action = form["Action"].as_str();
        match action {
            "DescribeAutoScalingInstances" => {
                assert_eq!(form["InstanceIds.member.1"], "i-0me");
                let member = state.map(|state| {
                    format!("<member><InstanceId>i-0me</InstanceId><AutoScalingGroupName>fleet</AutoScalingGroupName><LifecycleState>{state}</LifecycleState></member>")
                });
                xml(action, format!("<AutoScalingInstances>{}</AutoScalingInstances>", member.unwrap_or_default()))
            }
            "DescribeLifecycleHooks" => {
                assert_eq!(form["AutoScalingGroupName"], "fleet");
                let members: String = hooks
                    .iter()
                    .map(|(name, transition)| {
                        format!("<member><LifecycleHookName>{name}</LifecycleHookName><AutoScalingGroupName>fleet</AutoScalingGroupName><LifecycleTransition>autoscaling:EC2_INSTANCE_{transition}</LifecycleTransition><HeartbeatTimeout>40</HeartbeatTimeout></member>")
                    })
                    .collect();
                xml(action, format!("<LifecycleHooks>{members}</LifecycleHooks>"))
            }
            "CompleteLifecycleAction" | "RecordLifecycleActionHeartbeat" => xml(action, String::new()),
            other => panic!("asked for {other}"),
        }
    })
}

fn release(transport: &Arc<Scripted>, hook: Option<&str>) -> Release {
    let group = AutoScaling::new(sdk(transport), doors(transport), "i-0me".into(), "amazonaws.com");
    Release::new(group, hook.map(str::to_owned))
}

fn actions(transport: &Scripted) -> Vec<String> {
    transport.forms().iter().map(|form| form["Action"].clone()).collect()
}

/// Lifecycle hooks, by name and transition.
type Hooks = &'static [(&'static str, &'static str)];

const HOOKS: Hooks = &[("born", "LAUNCHING"), ("drain", "TERMINATING")];

#[tokio::test(start_paused = true)]
async fn the_hook_that_waits_is_told_to_go_on() {
    for state in ["Terminating:Wait", "Warmed:Terminating:Wait"] {
        let transport = auto_scaling(Some(state), HOOKS);
        release(&transport, None).release(NoticeKind::AutoScaling).await.unwrap();
        let forms = transport.forms();
        let last = forms.last().unwrap();
        let told: BTreeMap<_, _> = last.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let expected = BTreeMap::from([
            ("Action", "CompleteLifecycleAction"),
            ("Version", "2011-01-01"),
            ("AutoScalingGroupName", "fleet"),
            ("LifecycleHookName", "drain"),
            ("InstanceId", "i-0me"),
            ("LifecycleActionResult", "CONTINUE"),
        ]);
        assert_eq!(told, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn where_nobody_waits_nobody_is_told() {
    let quiet: [(Option<&str>, Hooks); 4] = [
        (None, HOOKS),
        (Some("Terminating:Proceed"), HOOKS),
        (Some("Terminating:Wait"), &[("born", "LAUNCHING")]),
        (Some("Terminating"), &[]),
    ];
    for (state, hooks) in quiet {
        let transport = auto_scaling(state, hooks);
        release(&transport, None).release(NoticeKind::AutoScaling).await.unwrap();
        assert!(actions(&transport).iter().all(|action| action.starts_with("Describe")), "{state:?} {hooks:?}");
    }
    let transport = auto_scaling(Some("Terminating:Wait"), HOOKS);
    release(&transport, None).release(NoticeKind::SpotTerminate).await.unwrap();
    assert!(transport.seen().is_empty(), "nobody waits for an interrupted instance");
}

#[tokio::test(start_paused = true)]
async fn a_group_that_does_not_wait_yet_is_asked_again() {
    let transport = auto_scaling(Some("Terminating"), HOOKS);
    let failure = release(&transport, None).release(NoticeKind::AutoScaling).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(failure.sentence.contains("does not wait for this instance yet"), "{}", failure.sentence);
}

#[tokio::test(start_paused = true)]
async fn of_several_hooks_ours_must_be_named() {
    const SEVERAL: Hooks = &[("backup", "TERMINATING"), ("drain", "TERMINATING")];
    let transport = auto_scaling(Some("Terminating:Wait"), SEVERAL);
    let failure = release(&transport, None).release(NoticeKind::AutoScaling).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid);
    assert!(failure.sentence.contains("2 lifecycle hooks") && failure.sentence.contains("lifecycle_hook"));
    let failure = release(&transport, Some("other")).release(NoticeKind::AutoScaling).await.unwrap_err();
    assert!(failure.sentence.contains("no lifecycle hook `other`"), "{}", failure.sentence);
    release(&transport, Some("drain")).release(NoticeKind::AutoScaling).await.unwrap();
    assert_eq!(transport.forms().last().unwrap()["LifecycleHookName"], "drain");
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_was_told_before_a_restart_is_told_no_more() {
    let error = |code: &str, message: &str| {
        answer(
            400,
            format!(
                r#"<ErrorResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>r-1</RequestId></ErrorResponse>"#
            ),
        )
    };
    for (code, message, well) in [
        ("ValidationError", "No active Lifecycle Action found with instance ID i-0me", true),
        ("ValidationError", "1 validation error detected", false),
        ("AccessDenied", "not authorized", false),
    ] {
        let world = auto_scaling(Some("Terminating:Wait"), HOOKS);
        let refusal = std::sync::Mutex::new(Some(error(code, message)));
        let transport = Scripted::new(move |request| {
            let action = form(std::str::from_utf8(request.body()).unwrap())["Action"].clone();
            let world = world.clone();
            let refusal = (action == "CompleteLifecycleAction").then(|| refusal.lock().unwrap().take().unwrap());
            async move {
                match refusal {
                    Some(refusal) => refusal,
                    None => pitcrew::doors::Transport::send(world.as_ref(), request, 5 * SECOND).await,
                }
            }
        });
        let outcome = release(&transport, None).release(NoticeKind::AutoScaling).await;
        assert_eq!(outcome.is_ok(), well, "{code}: {outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_is_kept_waiting_by_heartbeats_at_half_its_timeout() {
    let transport = auto_scaling(Some("Terminating:Wait"), HOOKS);
    let release = release(&transport, None);
    assert!(timeout(90 * SECOND, release.keep_waiting()).await.is_err());
    let beats: Vec<_> = transport
        .seen()
        .into_iter()
        .filter(|seen| form(&seen.body)["Action"] == "RecordLifecycleActionHeartbeat")
        .collect();
    assert_eq!(beats.len(), 5, "at 0, 20, 40, 60 and 80 s, since the timeout is 40 s");
    assert_eq!(form(&beats[0].body)["LifecycleHookName"], "drain");
    assert!(beats.windows(2).all(|pair| (pair[1].at - pair[0].at).as_secs() == 20));
}

fn identity() -> Identity {
    Identity {
        instance: "i-0me".into(),
        region: "eu-central-1".to_owned(),
        availability_zone: "eu-central-1a".to_owned(),
        account: "123456789012".to_owned(),
        private_address: None,
        partition: "aws".to_owned(),
        domain: "amazonaws.com".to_owned(),
    }
}

fn announcer(transport: &Arc<Scripted>, text: &str, credentials: Credentials) -> Announcer {
    let Leave { webhook, commands, .. } =
        config::read(&[(std::path::Path::new("a.toml"), text)]).unwrap().into_settings().leave;
    Announcer {
        webhook,
        commands,
        credentials,
        identity: identity(),
        transport: transport.clone(),
        clock: Arc::new(TokioClock::starting_at(START)),
        seed: 7,
    }
}

fn noticed() -> Announcement {
    Announcement {
        moment: Moment::Noticed,
        why: NoticeKind::SpotTerminate,
        sentence: "leaving: \"spot\"".to_owned(),
        deadline: START.at.after(120 * SECOND),
    }
}

#[tokio::test(start_paused = true)]
async fn the_webhook_is_told_everything_and_its_secrets_come_from_credentials() {
    let secrets = tempfile::tempdir().unwrap();
    std::fs::write(secrets.path().join("token"), "Bearer abc\n").unwrap();
    std::fs::write(secrets.path().join("url"), "https://hooks.example/T1/B2\n").unwrap();
    let transport = by_form(|_| answer(204, ""));
    let text = r#"leave.webhook = { url_credential = "url", headers = { Authorization = "token" } }"#;
    let credentials = Credentials { directory: Some(secrets.path().to_owned()) };
    announcer(&transport, text, credentials).announce(noticed()).await;
    let seen = transport.seen();
    let [call] = seen.as_slice() else { panic!("one call") };
    assert_eq!((call.method.as_str(), call.uri.as_str()), ("POST", "https://hooks.example/T1/B2"));
    assert_eq!(call.headers["authorization"], "Bearer abc");
    assert!(call.headers["authorization"].is_sensitive());
    assert_eq!(call.headers["content-type"], "application/json");
    let told: serde_json::Value = serde_json::from_str(&call.body).unwrap();
    let expected = serde_json::json!({
        "reason": "spot-terminate", "moment": "noticed", "sentence": "leaving: \"spot\"", "instance": "i-0me",
        "region": "eu-central-1", "account": "123456789012", "deadline": "2026-11-23T00:02:00Z",
    });
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn a_webhook_in_trouble_is_tried_until_it_works_or_the_time_is_over() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let transport = by_form(move |_| match counted.fetch_add(1, Ordering::Relaxed) {
        0 => refused(),
        1 => answer(503, ""),
        2 => answer(429, ""),
        _ => answer(200, ""),
    });
    let text = r#"leave.webhook = { url = "http://hooks.example/" }"#;
    announcer(&transport, text, Credentials::default()).announce(noticed()).await;
    assert_eq!(tries.load(Ordering::Relaxed), 4);

    let transport = by_form(|_| answer(500, ""));
    let began = tokio::time::Instant::now();
    announcer(&transport, text, Credentials::default()).announce(noticed()).await;
    assert!(began.elapsed() <= 120 * SECOND && began.elapsed() > 100 * SECOND, "{:?}", began.elapsed());
    assert!((15..40).contains(&transport.seen().len()), "{} tries", transport.seen().len());

    let transport = by_form(|_| answer(404, ""));
    announcer(&transport, text, Credentials::default()).announce(noticed()).await;
    assert_eq!(transport.seen().len(), 1, "what is refused stays refused");
}

#[tokio::test(start_paused = true)]
async fn without_its_secret_the_webhook_is_not_told_half() {
    let transport = by_form(|_| answer(200, ""));
    let text = r#"leave.webhook = { url = "http://hooks.example/", headers = { Authorization = "token" } }"#;
    announcer(&transport, text, Credentials::default()).announce(noticed()).await;
    assert!(transport.seen().is_empty());
}

#[tokio::test]
async fn a_program_is_run_at_its_turn_with_everything_in_its_environment() {
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("page");
    std::fs::write(&program, "#!/bin/sh\necho \"$1 $PITCREW_REASON $PITCREW_MOMENT $PITCREW_INSTANCE $PITCREW_DEADLINE $PITCREW_SENTENCE\" >> \"$2\"\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let log = place.path().join("log");
    let text = format!("leave.commands = {{ left_badly = [{program:?}, \"late\", {log:?}] }}");
    let transport = by_form(|_| answer(200, ""));
    let announcer = announcer(&transport, &text, Credentials::default());
    announcer.announce(noticed()).await;
    assert!(!log.exists(), "not its turn");
    announcer.announce(Announcement { moment: Moment::LeftBadly, ..noticed() }).await;
    let said = std::fs::read_to_string(&log).unwrap();
    assert_eq!(said, "late spot-terminate left_badly i-0me 2026-11-23T00:02:00Z leaving: \"spot\"\n");
}
