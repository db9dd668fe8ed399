//! What the SDK takes from the environment when it runs behind our doors: in processes of their own, since an
//! environment is a whole process's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use pitcrew::config::Aws;
use pitcrew::doors::TokioClock;
use pitcrew::effect::tags::Owner;
use pitcrew::effect::{Balancer, Tags, aws};
use pitcrew_core::ids::TargetGroupArn;
use pitcrew_core::time::{Instant, Now, WallTime};
use scripted::{Outcome, Scripted, Seen, answer};

/// Set in a process that a test started to run itself in an environment of its own.
const ALONE: &str = "PITCREW_TEST_ALONE";

/// Whether this process has the environment that `test` is about. Where it has not, runs `test` in a process with each
/// of these environments, which answer yes.
fn is_alone_with(test: &str, environments: &[&[(&str, &str)]]) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    for environment in environments {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env_clear()
            .env("HOME", "/nonexistent")
            .env(ALONE, "1")
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{environment:?}: {said}{errors}");
    }
    false
}

fn script(request: &Request<Bytes>) -> Outcome {
    match request.uri().path() {
        "/latest/api/token" => {
            let mut given = answer(200, "token").unwrap();
            given.headers_mut().insert("x-aws-ec2-metadata-token-ttl-seconds", "21600".parse().unwrap());
            Ok(given)
        }
        "/latest/meta-data/iam/security-credentials/" => answer(200, "web-role"),
        "/latest/meta-data/iam/security-credentials/web-role" => answer(
            200,
            r#"{"Code":"Success","LastUpdated":"2026-11-22T23:00:00Z","Type":"AWS-HMAC","AccessKeyId":"ASIAROLE","SecretAccessKey":"s","Token":"session","Expiration":"2026-11-23T05:00:00Z"}"#,
        ),
        "/" => answer(
            200,
            r#"<DescribeTargetHealthResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><DescribeTargetHealthResult><TargetHealthDescriptions/></DescribeTargetHealthResult></DescribeTargetHealthResponse>"#,
        ),
        _ => answer(404, ""),
    }
}

fn doors(transport: &Arc<Scripted>) -> aws::Doors {
    // 2026-11-23T00:00:00Z
    let start = Now { at: Instant(1_000), wall: WallTime(1_795_392_000_000) };
    aws::Doors { transport: transport.clone(), clock: Arc::new(TokioClock::starting_at(start)) }
}

/// The requests that one observation makes.
async fn observe(settings: Aws) -> Vec<Seen> {
    let transport = Scripted::new(|request| {
        let outcome = script(&request);
        async move { outcome }
    });
    let doors = doors(&transport);
    let config = aws::from_host(&settings, Some("eu-central-1"), &doors).await;
    assert_eq!(transport.seen().len(), 0, "nothing is asked before there is a reason");
    let group = TargetGroupArn::new("arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/web/1");
    Balancer::new(config, "i-1".into(), None).observe(&group).await.unwrap();
    transport.seen()
}

fn settings() -> Aws {
    Aws { region: None, endpoint_url: None, timeout: Duration::from_secs(5) }
}

fn signature(seen: &Seen) -> &str {
    seen.headers["authorization"].to_str().unwrap()
}

const ID: (&str, &str) = ("AWS_ACCESS_KEY_ID", "AKIDENV");
const SECRET: (&str, &str) = ("AWS_SECRET_ACCESS_KEY", "s");

#[tokio::test(start_paused = true)]
async fn endpoints_and_keys_of_the_environment_are_used() {
    let here = "http://127.0.0.1:4566";
    let service = ("AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2", here);
    let environments: [&[_]; 2] =
        [&[ID, SECRET, service, ("AWS_ENDPOINT_URL", "http://other")], &[ID, SECRET, ("AWS_ENDPOINT_URL", here)]];
    if is_alone_with("endpoints_and_keys_of_the_environment_are_used", &environments) {
        let seen = observe(settings()).await;
        assert_eq!(seen[0].uri, "http://127.0.0.1:4566/");
        assert!(signature(&seen[0]).contains("Credential=AKIDENV/20261123/eu-central-1/elasticloadbalancing/"));
    }
}

#[tokio::test(start_paused = true)]
async fn tags_are_asked_for_where_the_environment_says_as_by_the_sdk() {
    let here = "http://127.0.0.1:4566/ec2";
    let service = ("AWS_ENDPOINT_URL_EC2", here);
    let environments: [&[_]; 2] =
        [&[ID, SECRET, service, ("AWS_ENDPOINT_URL", "http://other")], &[ID, SECRET, ("AWS_ENDPOINT_URL", here)]];
    if is_alone_with("tags_are_asked_for_where_the_environment_says_as_by_the_sdk", &environments) {
        let transport = Scripted::new(|_| async { answer(200, "<r/>") });
        let doors = doors(&transport);
        let config = aws::from_host(&settings(), Some("eu-central-1"), &doors).await;
        let owner = Owner { partition: "aws", account: "1", domain: "amazonaws.com" };
        Tags::new(config, doors, "i-1".into(), &owner).delete(&["deploy".to_owned()]).await.unwrap();
        let seen = transport.seen();
        assert_eq!(seen[0].uri, "http://127.0.0.1:4566/ec2/");
        assert!(signature(&seen[0]).contains("Credential=AKIDENV/20261123/eu-central-1/ec2/"));
    }
}

#[tokio::test(start_paused = true)]
async fn settings_win_over_the_environment() {
    let environment = [ID, SECRET, ("AWS_ENDPOINT_URL", "http://other"), ("AWS_REGION", "us-east-1")];
    if is_alone_with("settings_win_over_the_environment", &[&environment]) {
        let region = Some("ap-northeast-2".to_owned());
        let endpoint_url = Some("http://127.0.0.1:4566".parse().unwrap());
        let seen = observe(Aws { region, endpoint_url, ..settings() }).await;
        assert_eq!(seen[0].uri, "http://127.0.0.1:4566/");
        assert!(signature(&seen[0]).contains("/20261123/ap-northeast-2/elasticloadbalancing/"));
    }
}

#[tokio::test(start_paused = true)]
async fn without_keys_the_instances_role_signs_in_the_instances_region() {
    let environment = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1338")];
    if is_alone_with("without_keys_the_instances_role_signs_in_the_instances_region", &[&environment]) {
        let seen = observe(settings()).await;
        let (call, questions) = seen.split_last().unwrap();
        assert!(questions.iter().all(|seen| seen.uri.starts_with("http://127.0.0.1:1338/latest/")), "{questions:?}");
        assert_eq!(call.uri, "https://elasticloadbalancing.eu-central-1.amazonaws.com/");
        assert!(signature(call).contains("Credential=ASIAROLE/20261123/eu-central-1/"));
        assert_eq!(call.headers["x-amz-security-token"], "session");
    }
}
