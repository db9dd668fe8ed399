//! What a case of every wire and every file is put through: any bytes at all, and nothing may panic, hang, or come back as
//! something else than it was. Shared by the tests here and by `fuzz/agent`, which looks for cases by coverage.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use pitcrew::config;
use pitcrew::doors::{SystemClock, Transport, TransportError};
use pitcrew::effect::{Balancer, Deployments, aws};
use pitcrew::intake::imds::{Calendar, Endpoint, Imds, NoticePoller, Sight};
use pitcrew::ledger::{Ledger, MemoryStore, Slot};
use pitcrew::protocol::{self, Lines, Reply};
use pitcrew_core::ids::DeploymentGroup;
use pitcrew_core::memory::Memory;
use pitcrew_core::settings::Settings;
use pitcrew_core::time::Now;
use pitcrew_core::wire::{Event, Failure};
use pitcrew_rehearsal::bundle::AppSpec;
use tokio::sync::mpsc;

/// Lines on the agent's socket, from both sides.
pub fn socket(stream: &[u8]) {
    run(async {
        let mut lines = Lines::new(stream, 4096);
        while let Ok(Some(line)) = lines.next().await {
            assert!(line.len() <= 4096 && !line.contains(&b'\n'));
            if let Ok(request) = protocol::decode::<protocol::Request>(&line) {
                let again = protocol::encode(&request);
                let read = protocol::decode::<protocol::Request>(again.trim_ascii_end());
                assert_eq!(read.ok(), Some(request), "what is read can be said");
            }
            let _ = protocol::decode::<Reply>(&line);
        }
    });
}

/// A configuration file.
pub fn configuration(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    match config::read(&[(Path::new("50-case.toml"), text)]) {
        Ok(merged) => {
            let shown = merged.to_toml();
            let settings = merged.into_settings();
            let again = config::read(&[(Path::new("50-shown.toml"), shown.as_str())]);
            let again = again.unwrap_or_else(|error| panic!("what is shown is refused: {error}\n{shown}"));
            assert_eq!(again.into_settings(), settings, "what is shown means something else:\n{shown}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A document in the ledger's newest place: whatever it is, the ledger opens, the core takes it up, and the next save
/// is found.
pub fn ledger(document: &[u8]) {
    let store = MemoryStore::default();
    store.put(Slot::Current, document);
    let open = |store: MemoryStore| {
        Ledger::<Memory>::open(Box::new(store), "i-1".into(), "boot-1".into())
            .unwrap_or_else(|error| panic!("it does not open: {error}"))
    };
    let (mut ledger, opened) = open(store.clone());
    let memory = opened.remembered.map(|found| found.memory).unwrap_or_default();
    let mut core = pitcrew_core::Core::new(Settings::default(), memory, Now::default());
    core.step(Now::default(), Event::Started);
    assert!(!core.view(Now::default()).sentence.is_empty());
    let memory = core.memory().clone();
    ledger.save(Now::default(), &memory).unwrap_or_else(|error| panic!("it does not save: {error}"));
    assert_eq!(open(store).1.remembered.map(|found| found.memory), Some(memory));
}

/// Whatever a metadata service answers to every question; the first two bytes choose the status.
pub fn metadata(case: &[u8]) {
    let Some(parrot) = Parrot::of(case) else { return };
    run(async {
        let Ok(endpoint) = Endpoint::at(&http::Uri::from_static("http://169.254.169.254")) else { return };
        let imds = Arc::new(Imds::new(parrot, endpoint, Duration::from_secs(1)));
        let _ = imds.identity().await;
        let scheduled = config::Settings::default().leave.scheduled;
        let calendar = Calendar { clock: Arc::new(SystemClock), scheduled };
        let poller = NoticePoller::new(imds, Duration::from_secs(1), 1, calendar, &[]);
        let (heard, mut hears) = mpsc::channel::<Heard>(64);
        let listens = async {
            for _ in 0..40 {
                tokio::time::sleep(Duration::from_secs(1)).await;
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

/// Whatever AWS answers to every call, good or an error: XML of load balancing, JSON of CodeDeploy. The first two bytes
/// choose the status.
pub fn aws(case: &[u8]) {
    let Some(parrot) = Parrot::of(case) else { return };
    run(async {
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "case");
        let credentials = SharedCredentialsProvider::new(credentials);
        let doors = aws::Doors { transport: parrot, clock: Arc::new(SystemClock) };
        let config = aws::fixed("eu-central-1", "http://aws", Duration::from_secs(1), credentials, &doors);
        let balancer = Balancer::new(config.clone(), "i-1".into(), Some("10.0.0.7".to_owned()));
        let group = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/web/0123456789abcdef".into();
        said(balancer.observe(&group).await.map(drop));
        said(balancer.deregister(&group, &[]).await);
        said(balancer.discover(&[]).await.map(drop));
        let deployments = Deployments::new(config, "i-1".into());
        let group = DeploymentGroup { application: "web".into(), name: "prod".into() };
        said(deployments.owner(&group).await.map(drop));
        said(deployments.state(&"d-ABCDEFGHI".into()).await.map(drop));
    });
}

/// The appspec.yml of a bundle.
pub fn appspec(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    if let Err(error) = AppSpec::parse(text) {
        assert!(!error.to_string().is_empty());
    }
}

/// A failure has a sentence for people, of bounded length whatever the other side wrote.
fn said(outcome: Result<(), Failure>) {
    if let Err(failure) = outcome {
        let length = failure.sentence.len();
        assert!((1..4096).contains(&length), "a sentence of {length} bytes");
    }
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
    status: http::StatusCode,
    body: Bytes,
}

impl Parrot {
    fn of(case: &[u8]) -> Option<Arc<Self>> {
        let (status, body) = case.split_at_checked(2)?;
        let status = http::StatusCode::from_u16(100 + u16::from_le_bytes([status[0], status[1]]) % 500).ok()?;
        Some(Arc::new(Self { status, body: Bytes::copy_from_slice(body) }))
    }
}

impl Transport for Parrot {
    fn send(&self, _: Request<Bytes>, _: Duration) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        let mut response = Response::new(self.body.clone());
        *response.status_mut() = self.status;
        let lasts = http::HeaderValue::from_static("21600");
        response.headers_mut().insert("x-aws-ec2-metadata-token-ttl-seconds", lasts);
        Box::pin(async { Ok(response) })
    }
}

/// Runs `work` to its end, under a clock that does not wait.
fn run(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap_or_else(|error| panic!("a runtime needs nothing from outside: {error}")).block_on(work);
}
