//! The balancer and deployment effects against an AWS API that we did not write: moto, from PyPI, on loopback.
//!
//! moto differs from AWS: targets are healthy at once and gone at once, without `initial` or `draining`; deregistering a
//! target that is not registered is an error; and it has no `GetDeploymentTarget`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use bytes::Bytes;
use http::Request;
use pitcrew::doors::{ReqwestTransport, SystemClock, Transport as _};
use pitcrew::effect::{Balancer, Deployments, aws};
use pitcrew_core::ids::{DeploymentGroup, InstanceId, TargetGroupArn};
use pitcrew_core::wire::{FailureKind, GroupFacts, Owner, Target, TargetState};

const MOTO: &str = "moto[server]==5.2.5";
const REGION: &str = "eu-central-1";
const PATIENCE: Duration = Duration::from_secs(60);

/// A moto server on a port of its own choice; ends with the test.
struct Moto {
    process: Child,
    url: String,
    transport: Arc<ReqwestTransport>,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Moto {
    fn start() -> Result<Self, String> {
        let venv = installed()?;
        let mut process = Command::new(venv.join("bin/moto_server"))
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("moto_server cannot be run: {error}"))?;
        let mut lines = BufReader::new(process.stderr.take().unwrap());
        let mut said = String::new();
        let url = loop {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap_or(0) == 0 {
                return Err(format!("moto_server ended before it listened: {said}"));
            }
            if let Some((_, url)) = line.split_once("Running on ") {
                break url.trim().to_owned();
            }
            said.push_str(&line);
        };
        // It logs each request, and would stop at a full pipe.
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        Ok(Self { process, url, transport: Arc::new(ReqwestTransport::new().unwrap()) })
    }

    fn config(&self) -> aws_config::SdkConfig {
        let doors = aws::Doors { transport: self.transport.clone(), clock: Arc::new(SystemClock) };
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
        aws::fixed(REGION, &self.url, PATIENCE, SharedCredentialsProvider::new(credentials), &doors)
    }

    /// Sets the scene by the raw API: what the effects do not do.
    async fn call(&self, service: &str, action: &str, version: &str, parameters: &[(&str, &str)]) -> String {
        let mut form = format!("Action={action}&Version={version}");
        for (key, value) in parameters {
            form.push_str(&format!("&{key}={value}"));
        }
        self.post(service, ("content-type", "application/x-www-form-urlencoded"), None, form).await
    }

    async fn codedeploy(&self, operation: &str, body: &str) -> String {
        let target = format!("CodeDeploy_20141006.{operation}");
        let json = ("content-type", "application/x-amz-json-1.1");
        self.post("codedeploy", json, Some(&target), body.to_owned()).await
    }

    async fn post(&self, service: &str, kind: (&str, &str), target: Option<&str>, body: String) -> String {
        let scope = format!("AKIDEXAMPLE/20261123/{REGION}/{service}/aws4_request");
        let authorization = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none");
        let mut request = Request::post(&self.url).header(kind.0, kind.1).header("authorization", authorization);
        if let Some(target) = target {
            request = request.header("x-amz-target", target);
        }
        let request = request.body(Bytes::from(body)).unwrap();
        let answer = self.transport.send(request, PATIENCE).await.unwrap();
        let text = String::from_utf8(answer.body().to_vec()).unwrap();
        assert!(answer.status().is_success(), "{service}: {text}");
        text
    }

    /// A target group for HTTP on port 80, or for functions, which have neither.
    async fn target_group(&self, name: &str, target_type: &str, vpc: &str) -> TargetGroupArn {
        let mut parameters = vec![("Name", name), ("TargetType", target_type)];
        if target_type != "lambda" {
            parameters.extend([("Protocol", "HTTP"), ("Port", "80"), ("VpcId", vpc)]);
        }
        let text = self.call("elasticloadbalancing", "CreateTargetGroup", "2015-12-01", &parameters).await;
        TargetGroupArn::new(between(&text, "<TargetGroupArn>", "</TargetGroupArn>"))
    }
}

/// The virtual environment with moto in it, made when it is not there yet; it stays for the next run.
fn installed() -> Result<PathBuf, String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let venv = target.join("moto-5.2.5");
    let lock = File::create(target.join("moto.lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    let complete = venv.join("complete");
    if !complete.exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
        let pip = ["install", "--quiet", "--disable-pip-version-check", MOTO];
        run(Command::new(venv.join("bin/pip")).args(pip))?;
        fs::write(complete, "").map_err(|error| error.to_string())?;
    }
    Ok(venv)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

fn between(text: &str, before: &str, after: &str) -> String {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split_once(after).unwrap_or_else(|| panic!("no {after} in {rest}")).0.to_owned()
}

fn target(id: &str, port: u16) -> Target {
    Target { id: id.to_owned(), port, zone: None }
}

fn facts(arn: &TargetGroupArn, seconds: u64) -> GroupFacts {
    GroupFacts { arn: arn.clone(), deregistration_delay: Duration::from_secs(seconds) }
}

#[tokio::test]
async fn moto_and_we_understand_each_other() {
    let moto = match Moto::start() {
        Ok(moto) => moto,
        Err(why) if std::env::var_os("CI").is_some() => panic!("{why}"),
        Err(why) => {
            eprintln!("NOT RUN: this test needs python3 with venv, and {MOTO} from PyPI: {why}");
            return;
        }
    };
    traffic_moves(&moto).await;
    owners_are_told_apart(&moto).await;
}

async fn traffic_moves(moto: &Moto) {
    let text = moto
        .call("ec2", "RunInstances", "2016-11-15", &[("ImageId", "ami-12c6146b"), ("MinCount", "2"), ("MaxCount", "2")])
        .await;
    let mut ids = text.split("<instanceId>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned());
    let (me, peer) = (ids.next().unwrap(), ids.next().unwrap());
    let vpc = between(&text, "<vpcId>", "</vpcId>");
    let subnets = moto.call("ec2", "DescribeSubnets", "2016-11-15", &[]).await;
    let subnets: Vec<_> =
        subnets.split("<subnetId>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect();

    let web = moto.target_group("web", "instance", &vpc).await;
    let api = moto.target_group("api", "instance", &vpc).await;
    let by_address = moto.target_group("by-address", "ip", &vpc).await;
    moto.target_group("functions", "lambda", &vpc).await;
    let balancer = [("Name", "front"), ("Subnets.member.1", &*subnets[0]), ("Subnets.member.2", &*subnets[1])];
    let text = moto.call("elasticloadbalancing", "CreateLoadBalancer", "2015-12-01", &balancer).await;
    let front = between(&text, "<LoadBalancerArn>", "</LoadBalancerArn>");
    for (port, group) in [("80", &web), ("81", &api), ("82", &by_address)] {
        let listener = [
            ("LoadBalancerArn", &*front),
            ("Protocol", "HTTP"),
            ("Port", port),
            ("DefaultActions.member.1.Type", "forward"),
            ("DefaultActions.member.1.TargetGroupArn", group.as_str()),
        ];
        moto.call("elasticloadbalancing", "CreateListener", "2015-12-01", &listener).await;
    }
    let delay = [
        ("TargetGroupArn", web.as_str()),
        ("Attributes.member.1.Key", "deregistration_delay.timeout_seconds"),
        ("Attributes.member.1.Value", "17"),
    ];
    moto.call("elasticloadbalancing", "ModifyTargetGroupAttributes", "2015-12-01", &delay).await;

    let mine = Balancer::new(moto.config(), InstanceId::new(&*me), Some("10.11.12.13".to_owned()));
    assert_eq!(mine.discover(&[]).await, Ok(vec![]), "in no group yet");
    mine.register(&web, &[target(&me, 8080), target(&peer, 8081)]).await.unwrap();
    mine.register(&by_address, &[target("10.11.12.13", 9000)]).await.unwrap();

    assert_eq!(mine.discover(&[]).await, Ok(vec![facts(&by_address, 300), facts(&web, 17)]));
    let named = ["api".to_owned(), web.to_string()];
    assert_eq!(mine.discover(&named).await, Ok(vec![facts(&api, 300), facts(&web, 17)]));
    let unknown = mine.discover(&["nowhere".to_owned()]).await.unwrap_err();
    assert_eq!(unknown.kind, FailureKind::NotFound, "{unknown:?}");
    let functions = mine.discover(&["functions".to_owned()]).await.unwrap_err();
    assert_eq!(functions.kind, FailureKind::Invalid, "{functions:?}");

    let seen = mine.observe(&web).await.unwrap();
    assert_eq!(seen.own, [(target(&me, 8080), TargetState::Healthy)].into());
    assert_eq!((seen.peers, seen.healthy_peers), (1, 1));

    mine.deregister(&web, &[target(&me, 8080)]).await.unwrap();
    let seen = mine.observe(&web).await.unwrap();
    assert!(seen.own.values().all(|state| !state.is_registered()), "{seen:?}");
    assert_eq!((seen.peers, seen.healthy_peers), (1, 1));

    mine.register(&web, &[target(&me, 8080)]).await.unwrap();
    let seen = mine.observe(&web).await.unwrap();
    assert_eq!(seen.own, [(target(&me, 8080), TargetState::Healthy)].into());

    // AWS takes this for done; moto refuses it with the code that AWS has for targets that cannot be.
    let stranger = mine.deregister(&api, &[target(&me, 80)]).await.unwrap_err();
    assert_eq!(stranger.kind, FailureKind::Invalid, "{stranger:?}");
    let gone = TargetGroupArn::new(web.as_str().replace("/web/", "/gone/"));
    for failure in [
        mine.observe(&gone).await.unwrap_err(),
        mine.register(&gone, &[target(&me, 80)]).await.unwrap_err(),
        mine.deregister(&gone, &[target(&me, 80)]).await.unwrap_err(),
    ] {
        assert_eq!(failure.kind, FailureKind::NotFound, "{failure:?}");
        assert!(failure.sentence.starts_with("target group `gone` does not exist"), "{failure:?}");
    }
}

async fn owners_are_told_apart(moto: &Moto) {
    moto.codedeploy("CreateApplication", r#"{"applicationName":"shop","computePlatform":"Server"}"#).await;
    let group = |name: &str, more: &str| {
        format!(
            r#"{{"applicationName":"shop","deploymentGroupName":"{name}","serviceRoleArn":"arn:aws:iam::123456789012:role/cd",{more}}}"#
        )
    };
    let controlled = r#""deploymentStyle":{"deploymentType":"IN_PLACE","deploymentOption":"WITH_TRAFFIC_CONTROL"},"loadBalancerInfo":{"targetGroupInfoList":[{"name":"web"}]}"#;
    let plain = r#""deploymentStyle":{"deploymentType":"IN_PLACE","deploymentOption":"WITHOUT_TRAFFIC_CONTROL"}"#;
    moto.codedeploy("CreateDeploymentGroup", &group("controlled", controlled)).await;
    moto.codedeploy("CreateDeploymentGroup", &group("plain", plain)).await;

    let deployments = Deployments::new(moto.config(), "i-1".into());
    let owner = async |name: &str| {
        let group = DeploymentGroup { application: "shop".to_owned(), name: name.to_owned() };
        deployments.owner(&group).await
    };
    assert_eq!(owner("controlled").await, Ok(Owner::CodeDeploy));
    assert_eq!(owner("plain").await, Ok(Owner::Pitcrew));
    let unknown = owner("nowhere").await.unwrap_err();
    assert_eq!(unknown.kind, FailureKind::NotFound, "{unknown:?}");
    assert!(unknown.sentence.contains("deployment group `shop/nowhere` does not exist"), "{unknown:?}");
}
