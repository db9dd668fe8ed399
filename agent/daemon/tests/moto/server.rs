//! A moto server of the test's own, and the raw API for setting scenes in it.

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
use pitcrew::doors::{HostTransport, SystemClock, Transport as _};
use pitcrew::effect::aws;
use pitcrew_core::ids::TargetGroupArn;
use pitcrew_rehearsal::world::identity::REGION;
use reqwest::Url;

const MOTO: &str = "moto[server]==5.2.5";
const PATIENCE: Duration = Duration::from_secs(60);

/// A moto server on a port of its own choice; ends with the test.
pub(crate) struct Moto {
    process: Child,
    pub(crate) url: String,
    transport: Arc<HostTransport>,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Two instances in a network.
pub(crate) struct Instances {
    pub(crate) me: String,
    pub(crate) peer: String,
    pub(crate) vpc: String,
}

/// Keys of a user whom IAM knows.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Moto {
    pub(crate) async fn start() -> Self {
        let venv = tokio::task::spawn_blocking(installed).await.unwrap();
        let mut process = Command::new(venv.join("bin/moto_server"))
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("moto_server cannot be run: {error}"));
        let mut lines = BufReader::new(process.stderr.take().unwrap());
        let transport = Arc::new(HostTransport::default());
        let mut moto = Self { process, url: String::new(), transport };
        let mut said = String::new();
        while moto.url.is_empty() {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).unwrap() > 0, "moto_server ended before it listened: {said}");
            if let Some((_, url)) = line.split_once("Running on ") {
                url.trim().clone_into(&mut moto.url);
            }
            said.push_str(&line);
        }
        // It logs each request, and would stop at a full pipe.
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        moto
    }

    pub(crate) fn doors(&self) -> aws::Doors {
        aws::Doors { transport: self.transport.clone(), clock: Arc::new(SystemClock) }
    }

    pub(crate) fn config(&self) -> aws_config::SdkConfig {
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
        aws::fixed(REGION, &self.url, PATIENCE, SharedCredentialsProvider::new(credentials), &self.doors())
    }

    /// Sets the scene by the raw API: what the effects do not do.
    pub(crate) async fn call(&self, service: &str, action: &str, parameters: &[(&str, &str)]) -> String {
        let version = match service {
            "autoscaling" => "2011-01-01",
            "ec2" => "2016-11-15",
            "elasticloadbalancing" => "2015-12-01",
            "iam" => "2010-05-08",
            "monitoring" => "2010-08-01",
            other => panic!("which version of {other} is asked?"),
        };
        let mut form = Url::parse_with_params(&self.url, [("Action", action), ("Version", version)]).unwrap();
        form.query_pairs_mut().extend_pairs(parameters);
        let form = form.query().unwrap_or_default().to_owned();
        self.signed(service, ("content-type", "application/x-www-form-urlencoded"), None, form).await
    }

    pub(crate) async fn codedeploy(&self, operation: &str, body: &str) -> String {
        let target = format!("CodeDeploy_20141006.{operation}");
        let json = ("content-type", "application/x-amz-json-1.1");
        self.signed("codedeploy", json, Some(&target), body.to_owned()).await
    }

    async fn signed(&self, service: &str, kind: (&str, &str), target: Option<&str>, body: String) -> String {
        let scope = format!("AKIDEXAMPLE/20261123/{REGION}/{service}/aws4_request");
        let authorization = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none");
        let mut request = Request::post(&self.url).header(kind.0, kind.1).header("authorization", authorization);
        if let Some(target) = target {
            request = request.header("x-amz-target", target);
        }
        self.send(request.body(Bytes::from(body)).unwrap()).await
    }

    /// From the call after the next `free` on, signatures and policies are checked.
    pub(crate) async fn check_access_after(&self, free: u32) {
        let request = Request::post(format!("{}/moto-api/reset-auth", self.url));
        self.send(request.body(Bytes::from(free.to_string())).unwrap()).await;
    }

    async fn send(&self, request: Request<Bytes>) -> String {
        let what = format!("{} {:?}", request.uri(), request.body());
        let answer = self.transport.send(request, PATIENCE).await.unwrap();
        let text = String::from_utf8(answer.body().to_vec()).unwrap();
        assert!(answer.status().is_success(), "{what}: {text}");
        text
    }

    pub(crate) async fn instances(&self) -> Instances {
        let two = [("ImageId", "ami-12c6146b"), ("MinCount", "2"), ("MaxCount", "2")];
        let text = self.call("ec2", "RunInstances", &two).await;
        let [me, peer] = each(&text, "instanceId").try_into().unwrap();
        Instances { me, peer, vpc: between(&text, "<vpcId>", "</vpcId>") }
    }

    /// A target group for HTTP on port 80, or for functions, which have neither.
    pub(crate) async fn target_group(&self, name: &str, target_type: &str, vpc: &str) -> TargetGroupArn {
        let mut parameters = vec![("Name", name), ("TargetType", target_type)];
        if target_type != "lambda" {
            parameters.extend([("Protocol", "HTTP"), ("Port", "80"), ("VpcId", vpc)]);
        }
        let text = self.call("elasticloadbalancing", "CreateTargetGroup", &parameters).await;
        TargetGroupArn::new(between(&text, "<TargetGroupArn>", "</TargetGroupArn>"))
    }

    pub(crate) async fn register(&self, group: &TargetGroupArn, id: &str, port: &str) {
        let target = [("TargetGroupArn", group.as_str()), ("Targets.member.1.Id", id), ("Targets.member.1.Port", port)];
        self.call("elasticloadbalancing", "RegisterTargets", &target).await;
    }

    /// Who is registered, as id and port.
    pub(crate) async fn registered(&self, group: &TargetGroupArn) -> Vec<(String, String)> {
        let group = [("TargetGroupArn", group.as_str())];
        let text = self.call("elasticloadbalancing", "DescribeTargetHealth", &group).await;
        each(&text, "Id").into_iter().zip(each(&text, "Port")).collect()
    }

    /// A user who may do these actions and no others.
    pub(crate) async fn user(&self, name: &str, actions: &[&str]) -> Keys {
        self.call("iam", "CreateUser", &[("UserName", name)]).await;
        let statement = serde_json::json!({ "Effect": "Allow", "Action": actions, "Resource": "*" });
        let policy = serde_json::json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string();
        let policy = [("UserName", name), ("PolicyName", "only-this"), ("PolicyDocument", &*policy)];
        self.call("iam", "PutUserPolicy", &policy).await;
        let text = self.call("iam", "CreateAccessKey", &[("UserName", name)]).await;
        Keys {
            id: between(&text, "<AccessKeyId>", "</AccessKeyId>"),
            secret: between(&text, "<SecretAccessKey>", "</SecretAccessKey>"),
        }
    }
}

/// The virtual environment with moto in it, made when it is not there yet; it stays for the next run.
fn installed() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(target).unwrap();
    let venv = target.join("moto-5.2.5");
    let lock = File::create(target.join("moto.lock")).unwrap();
    lock.lock().unwrap();
    let complete = venv.join("complete");
    if !complete.exists() {
        let make = ["-m", "venv", "--clear"];
        run(Command::new("python3").args(make).arg(&venv), "install python3-venv (`apt-get install python3-venv`)");
        let pip = ["install", "--quiet", "--disable-pip-version-check", MOTO];
        run(Command::new(venv.join("bin/pip")).args(pip), "pip must reach PyPI, or a mirror named by PIP_INDEX_URL");
        fs::write(complete, "").unwrap();
    }
    venv
}

/// Runs it; `otherwise` says what to do where that fails.
fn run(command: &mut Command, otherwise: &str) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} cannot be run ({error}): {otherwise}"));
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {otherwise}\n{said}");
}

/// What stands in each element of this name.
pub(crate) fn each(text: &str, element: &str) -> Vec<String> {
    let begins = format!("<{element}>");
    text.split(&begins).skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
}

pub(crate) fn between(text: &str, before: &str, after: &str) -> String {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split_once(after).unwrap_or_else(|| panic!("no {after} in {rest}")).0.to_owned()
}
