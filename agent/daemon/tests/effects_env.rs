//! What the SDK takes from the environment when it runs behind our doors: in processes of their own, since an
//! environment is a whole process's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use aws_credential_types::Credentials as AwsCredentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use bytes::Bytes;
use http::Request;
use pitcrew::config::{self, Aws};
use pitcrew::doors::{Credentials, HostTransport, TokioClock};
use pitcrew::effect::tags::Owner;
use pitcrew::effect::{Balancer, Elastigroup, OwnIds, Tags, aws, elastigroup};
use pitcrew::intake::imds::{Endpoint, Imds};
use pitcrew_core::elastigroup::Order;
use pitcrew_core::ids::TargetGroupArn;
use pitcrew_core::time::{Instant, Now, WallTime};
use pitcrew_core::wire::FailureKind;
use scripted::{Outcome, Scripted, Seen, answer};
use tempfile::NamedTempFile;

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
    let own = OwnIds { instance: "i-1".into(), address: None };
    Balancer::new(config, doors, own, "amazonaws.com").observe(&group).await.unwrap();
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

#[tokio::test(start_paused = true)]
async fn the_environment_can_ask_for_other_addresses_of_a_service() {
    let fips: &[_] = &[ID, SECRET, ("AWS_USE_FIPS_ENDPOINT", "true")];
    let dual_stack: &[_] = &[ID, SECRET, ("AWS_USE_DUALSTACK_ENDPOINT", "true")];
    if is_alone_with("the_environment_can_ask_for_other_addresses_of_a_service", &[fips, dual_stack]) {
        let seen = observe(settings()).await;
        let host = match std::env::var_os("AWS_USE_FIPS_ENDPOINT") {
            Some(_) => "elasticloadbalancing-fips.eu-central-1.amazonaws.com",
            None => "elasticloadbalancing.eu-central-1.api.aws",
        };
        assert_eq!(seen[0].uri, format!("https://{host}/"));
    }
}

/// The SDK's clients refuse it, too: whoever asks for validated cryptography must not get something else.
#[tokio::test(start_paused = true)]
async fn other_addresses_and_an_address_of_ones_own_contradict_each_other() {
    let fips: &[_] = &[ID, SECRET, ("AWS_USE_FIPS_ENDPOINT", "true")];
    let dual_stack: &[_] = &[ID, SECRET, ("AWS_USE_DUALSTACK_ENDPOINT", "true")];
    let test = "other_addresses_and_an_address_of_ones_own_contradict_each_other";
    if is_alone_with(test, &[fips, dual_stack]) {
        let transport = Scripted::new(|_| async { answer(200, "") });
        let doors = doors(&transport);
        let own = Aws { endpoint_url: Some("http://127.0.0.1:4566".parse().unwrap()), ..settings() };
        let config = aws::from_host(&own, Some("eu-central-1"), &doors).await;
        let ids = || OwnIds { instance: "i-1".into(), address: None };
        let group = TargetGroupArn::new("arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/web/1");
        let refused = Balancer::new(config.clone(), doors, ids(), "amazonaws.com").observe(&group).await.unwrap_err();
        assert!(refused.sentence.contains("unset one of the two"), "{refused:?}");
        let sdk = aws_sdk_ssm::Client::new(&config).get_parameter().name("a").send().await.unwrap_err();
        assert!(sdk.as_service_error().is_none(), "the SDK has sent nothing, either: {sdk:?}");
        assert_eq!(transport.seen().len(), 0);
    }
}

/// Elastigroup is a service on the Internet, which instances often reach through a proxy alone.
#[test]
fn elastigroup_is_spoken_to_through_the_proxy_of_the_environment() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let asked = thread::spawn(move || {
        let (mut caller, _) = proxy.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&caller).read_line(&mut line).unwrap();
        caller.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").unwrap();
        line
    });
    let test = "elastigroup_is_spoken_to_through_the_proxy_of_the_environment";
    if is_alone_with(test, &[&[("HTTPS_PROXY", &address)]]) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (client, _token) = elastigroup();
        let answer = runtime.block_on(client.carry_out(&Order::Unlock));
        assert_eq!(answer.unwrap_err().kind, FailureKind::Unavailable, "the proxy lets nobody through");
        return;
    }
    assert_eq!(asked.join().unwrap(), "CONNECT spot.invalid:443 HTTP/1.1\r\n");
}

/// A client that goes out as the agent's does.
fn elastigroup() -> (Elastigroup, NamedTempFile) {
    let mut token = NamedTempFile::new().unwrap();
    token.write_all(b"s3cr3t").unwrap();
    let text = format!(
        "elastigroup = {{ token = \"{}\", account = \"act-1\", group = \"sig-1\", base_url = \"https://spot.invalid\" }}",
        token.path().display()
    );
    let settings = config::read(&[(Path::new("a.toml"), &text)]).unwrap().into_settings();
    let doors = doors(&Scripted::new(|_| async { answer(404, "") }));
    let keys = SharedCredentialsProvider::new(AwsCredentials::new("AKID", "secret", None, None, "test"));
    let sdk = aws::fixed("eu-central-1", "http://aws", Duration::from_secs(5), keys, &doors);
    let owner = Owner { partition: "aws", account: "1", domain: "amazonaws.com" };
    let imds = Imds::new(
        doors.transport.clone(),
        Endpoint::at(&"http://imds".parse().unwrap()).unwrap(),
        Duration::from_secs(1),
    );
    let doors = elastigroup::Doors {
        transport: Arc::new(HostTransport::default()),
        credentials: Credentials::default(),
        tags: Arc::new(Tags::new(sdk.clone(), doors, "i-1".into(), &owner)),
        sdk,
        imds: Arc::new(imds),
        seed: 1,
    };
    (Elastigroup::new(&settings.elastigroup, "i-1".into(), doors).unwrap(), token)
}
