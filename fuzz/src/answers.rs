//! What services answer: metadata, AWS, Elastigroup. A case is one answer, which every question gets: its status, its
//! headers line by line, an empty line, its body.

use std::str::from_utf8;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use pitcrew::config::{self, TokenPlace};
use pitcrew::doors::{Credentials, SystemClock, Transport, TransportError};
use pitcrew::effect::tags::Owner;
use pitcrew::effect::{Balancer, Deployments, Elastigroup, OwnIds, Tags, aws, elastigroup};
use pitcrew::intake::imds::{Calendar, Endpoint, Imds, NoticePoller, Sight};
use pitcrew_core::elastigroup::{Order, Process, Signal};
use pitcrew_core::ids::DeploymentGroup;
use pitcrew_core::wire::{Event, Failure};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::agent::run;

const SECOND: Duration = Duration::from_secs(1);

/// From the metadata service.
pub(crate) fn metadata(case: &[u8]) {
    let parrot = Parrot::of(case);
    run(async {
        let imds = Arc::new(imds(parrot));
        let _ = imds.identity().await;
        let scheduled = config::Settings::default().leave.scheduled;
        let calendar = Calendar { clock: Arc::new(SystemClock), scheduled };
        let poller = NoticePoller::new(imds, SECOND, 1, calendar, &[]);
        let (heard, mut hears) = mpsc::channel::<Heard>(64);
        let listens = async {
            for _ in 0..40 {
                tokio::time::sleep(SECOND).await;
                while hears.try_recv().is_ok() {}
            }
        };
        tokio::select! {
            biased;
            () = listens => {}
            () = poller.run(heard) => {}
        }
    });
}

/// From AWS, good or an error: XML of load balancing, JSON of CodeDeploy.
pub(crate) fn aws(case: &[u8]) {
    let parrot = Parrot::of(case);
    run(async {
        let config = sdk(&parrot);
        let balancer = Balancer::new(
            config.clone(),
            doors(&parrot),
            OwnIds { instance: "i-1".into(), address: Some("10.0.0.7".to_owned()) },
            "amazonaws.com",
        );
        let group = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/web/0123456789abcdef".into();
        said(balancer.observe(&group).await);
        said(balancer.deregister(&group, &[]).await);
        said(balancer.discover(&[]).await);
        let deployments = Deployments::new(config, "i-1".into());
        let group = DeploymentGroup { application: "web".into(), name: "prod".into() };
        said(deployments.owner(&group).await);
        said(deployments.state(&"d-ABCDEFGHI".into()).await);
    });
}

/// From Elastigroup, and what lies in its headers.
pub(crate) fn elastigroup(case: &[u8]) {
    let parrot = Parrot::of(case);
    run(async {
        let sdk = sdk(&parrot);
        let settings = config::Elastigroup {
            token: Some(TokenPlace::Credential(config::Credential("token".to_owned()))),
            account: Some("act-1".to_owned()),
            group: Some("sig-1".to_owned()),
            ..config::Settings::default().elastigroup
        };
        let owner = Owner { partition: "aws", account: "1", domain: "amazonaws.com" };
        let tags = Tags::new(sdk.clone(), doors(&parrot), "i-1".into(), &owner);
        let doors = elastigroup::Doors {
            transport: parrot.clone(),
            credentials: Credentials { directory: Some(TOKEN.path().to_owned()) },
            sdk,
            imds: Arc::new(imds(parrot.clone())),
            tags: Arc::new(tags),
            seed: 1,
        };
        let Some(group) = Elastigroup::new(&settings, "i-1".into(), doors) else {
            panic!("a group with a token is spoken to");
        };
        let processes = vec![Process::AutoHealing, Process::PreventiveReplacement];
        for order in [
            Order::ReadGroup,
            Order::Look,
            Order::Lock { minutes: 10 },
            Order::Suspend { processes: processes.clone(), minutes: 10 },
            Order::Resume { processes, minutes: 10 },
            Order::Signal(Signal::ReadyToShutdown),
        ] {
            said(group.carry_out(&order).await);
        }
        said(group.healthiness().await);
    });
}

/// Where the token of the Elastigroup lies, which is none.
static TOKEN: LazyLock<TempDir> = LazyLock::new(|| {
    let made = tempfile::tempdir().and_then(|folder| std::fs::write(folder.path().join("token"), "t").map(|()| folder));
    made.unwrap_or_else(|error| panic!("no room for a token: {error}"))
});

/// A failure has a sentence for people, of bounded length whatever the other side wrote.
fn said<T>(outcome: Result<T, Failure>) {
    if let Err(failure) = outcome {
        let length = failure.sentence.len();
        assert!((1..4096).contains(&length), "a sentence of {length} bytes");
    }
}

fn imds(parrot: Arc<Parrot>) -> Imds {
    let endpoint = Endpoint::at(&http::Uri::from_static("http://169.254.169.254"));
    Imds::new(parrot, endpoint.unwrap_or_else(|error| panic!("the address is a good one: {error}")), SECOND)
}

fn doors(parrot: &Arc<Parrot>) -> aws::Doors {
    aws::Doors { transport: parrot.clone(), clock: Arc::new(SystemClock) }
}

fn sdk(parrot: &Arc<Parrot>) -> aws_config::SdkConfig {
    let credentials = aws_credential_types::Credentials::new("AKIDEXAMPLE", "secret", None, None, "case");
    aws::fixed("eu-central-1", "http://aws", SECOND, SharedCredentialsProvider::new(credentials), &doors(parrot))
}

/// What a poller tells; nobody minds here.
struct Heard;

impl From<Event> for Heard {
    fn from(_: Event) -> Self {
        Self
    }
}

impl From<Sight> for Heard {
    fn from(_: Sight) -> Self {
        Self
    }
}

/// Answers every request alike.
struct Parrot {
    answer: Response<Bytes>,
}

impl Parrot {
    fn of(case: &[u8]) -> Arc<Self> {
        let ends = case.windows(2).position(|window| window == b"\n\n");
        let (head, body) = ends.map_or((&b""[..], case), |at| (&case[..at], &case[at + 2..]));
        let mut answer = Response::new(Bytes::copy_from_slice(body));
        let lasts = HeaderValue::from_static("21600");
        answer.headers_mut().insert("x-aws-ec2-metadata-token-ttl-seconds", lasts);
        for line in head.split(|byte| *byte == b'\n') {
            if let Some(status) = from_utf8(line).ok().and_then(|text| text.parse::<StatusCode>().ok()) {
                *answer.status_mut() = status;
            }
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let name = HeaderName::from_bytes(&line[..colon]);
            let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
            if let (Ok(name), Ok(value)) = (name, value) {
                answer.headers_mut().append(name, value);
            }
        }
        Arc::new(Self { answer })
    }
}

impl Transport for Parrot {
    fn send(&self, _: Request<Bytes>, _: Duration) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        Box::pin(async { Ok(self.answer.clone()) })
    }
}
