use std::collections::BTreeMap;
use std::sync::OnceLock;

use http::StatusCode;
use pitcrew_core::Core;
use pitcrew_core::settings::{Settings, Thresholds};
use pitcrew_core::time::{Instant, Now, WallTime};
use pitcrew_core::view::View;
use pitcrew_core::wire::{Action, Event, OperatorRequest};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::*;
use crate::history::History;
use crate::intake::imds::Identity;
use crate::report::metrics::{Format, Metrics};

/// A server on loopback that shows what a core says.
struct Stage {
    core: Core,
    view: watch::Sender<Option<Arc<View>>>,
    metrics: Metrics,
    address: SocketAddr,
    server: JoinHandle<()>,
}

fn now(ms: u64) -> Now {
    Now { at: Instant(ms), wall: WallTime(1_795_411_200_000 + ms) }
}

impl Stage {
    async fn new(audience: Audience, limits: Limits) -> Self {
        Self::of(audience, limits, false).await
    }

    async fn of(audience: Audience, limits: Limits, answers_hcs: bool) -> Self {
        let probes = BTreeMap::from([("app".into(), Thresholds { unhealthy: 1, healthy: 1, ..Thresholds::default() })]);
        let mut core = Core::new(Settings { probes, ..Settings::default() }, Default::default(), now(0));
        // In no target group, and known to be in none.
        core.step(now(0), Event::Started);
        core.step(now(0), Event::GroupsDiscovered { answer: Ok(Vec::new()) });
        let (view, shown) = watch::channel(None);
        let metrics = Metrics::default();
        let identity = Arc::new(OnceLock::new());
        let _ = identity.set(Identity {
            instance: "i-0abc".into(),
            region: "eu-central-1".into(),
            account: "123456789012".into(),
            partition: "aws".into(),
            domain: "amazonaws.com".into(),
            private_address: Some("10.0.0.7".to_owned()),
            availability_zone: "eu-central-1a".to_owned(),
        });
        let site = Site::new(shown, identity, metrics.clone(), History::in_memory(10), answers_hcs);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, Arc::new(site), audience, limits));
        Self { core, view, metrics, address, server }
    }

    fn hears(&mut self, event: Event) {
        let now = now(1_000);
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let asked = self.core.step(now, event).contains(&Action::DiscoverGroups);
            // There is no group here.
            events.extend(asked.then(|| Event::GroupsDiscovered { answer: Ok(Vec::new()) }));
        }
        self.view.send_replace(Some(Arc::new(self.core.view(now))));
    }

    fn probe(&mut self, answer: Result<(), &str>) {
        self.hears(Event::ProbeAnswered { probe: "app".into(), answer: answer.map_err(str::to_owned) });
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Writes `request` and reads until the server closes.
    async fn says(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.expect("the server closes");
        String::from_utf8(answer).unwrap()
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let answer = self.says(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    async fn ready(&self) -> (u16, Vec<String>) {
        let (status, body) = self.get("/ready").await;
        let document: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(document["ready"], status == StatusCode::OK);
        let reasons = document["reasons"].as_array().unwrap();
        (status.as_u16(), reasons.iter().map(|reason| reason["code"].as_str().unwrap().to_owned()).collect())
    }

    fn ended(&self, end: &str) -> u64 {
        let text = self.metrics.written(Format::Prometheus, None);
        let label = format!("pitcrew_http_connections_total{{end=\"{end}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&label));
        line.map_or(0, |count| count.parse().unwrap())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[tokio::test]
async fn readiness_follows_every_turn() {
    let mut stage = Stage::new(Audience::Balancer, Limits::default()).await;
    assert_eq!(stage.ready().await, (503, vec!["starting".to_owned()]), "before the first view");
    stage.hears(Event::Started);
    assert_eq!(stage.ready().await, (503, vec!["starting".to_owned()]), "before the first probe");
    stage.probe(Ok(()));
    assert_eq!(stage.ready().await, (200, vec![]));
    stage.probe(Err("status 500"));
    assert_eq!(stage.ready().await, (503, vec!["unhealthy".to_owned()]));
    stage.probe(Ok(()));
    stage.hears(Event::SightLost { why: "IMDS did not answer".into() });
    assert_eq!(stage.ready().await, (200, vec!["blind".to_owned()]), "blind, and in service");
    let patience = Duration::from_secs(9);
    stage.hears(Event::OperatorAsked {
        call: pitcrew_core::ids::CallId(1),
        request: OperatorRequest::Out { ttl: None, patience },
    });
    assert_eq!(stage.ready().await, (503, vec!["held".to_owned(), "blind".to_owned()]));
    stage.hears(Event::OperatorAsked {
        call: pitcrew_core::ids::CallId(2),
        request: OperatorRequest::Leave { within: None, waits: false, patience },
    });
    assert_eq!(stage.ready().await, (503, vec!["leaving".to_owned(), "blind".to_owned()]));
}

#[tokio::test]
async fn a_balancer_is_shown_two_paths_and_this_host_all() {
    let paths = ["/ready", "/live", "/status", "/history", "/metrics", "/", "/nowhere"];
    for (audience, expected) in [
        (Audience::Balancer, [200, 200, 404, 404, 404, 404, 404]),
        (Audience::Host, [200, 200, 200, 200, 200, 200, 404]),
    ] {
        let mut stage = Stage::new(audience, Limits::default()).await;
        stage.probe(Ok(()));
        for (path, expected) in paths.iter().zip(expected) {
            assert_eq!(stage.get(path).await.0.as_u16(), expected, "{audience:?} {path}");
        }
    }
}

#[tokio::test]
async fn the_status_is_the_view_and_who_says_so() {
    let mut stage = Stage::new(Audience::Host, Limits::default()).await;
    stage.probe(Ok(()));
    let (_, body) = stage.get("/status").await;
    let document: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&document["instance"], &document["state"]), (&json!("i-0abc"), &json!("serving")));
    assert_eq!(document["at"], 1_795_411_201_000_u64);
    assert!(serde_json::from_value::<View>(document).is_ok());
}

#[tokio::test]
async fn what_is_neither_get_nor_head_is_refused_unread() {
    let stage = Stage::new(Audience::Host, Limits::default()).await;
    let answer = stage.says(b"POST /ready HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\nmuch").await;
    assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: GET, HEAD"), "{answer}");
    let answer = stage.says(b"GET /ready HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\nmuch").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let answer = stage.says(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn garbage_is_closed_and_counted() {
    let stage = Stage::new(Audience::Balancer, Limits::default()).await;
    stage.says(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is TLS\r\n\r\n").await;
    stage.says(&[b'A'; 20_000]).await;
    assert_eq!(stage.ended("garbage"), 2);
    assert_eq!(stage.ready().await.0, 503, "and the next one is answered");
}

#[tokio::test]
async fn who_is_slow_with_the_head_is_closed_and_counted() {
    let limits = Limits { head_within: Duration::from_millis(200), ..Limits::default() };
    let stage = Stage::new(Audience::Balancer, limits).await;
    let mut slow = stage.connect().await;
    slow.write_all(b"GET /ready HTTP/1.1\r\nHost:").await.unwrap();
    let mut silent = stage.connect().await;
    for stream in [&mut slow, &mut silent] {
        let mut rest = Vec::new();
        let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await.expect("the server closes");
    }
    timeout(Duration::from_secs(10), async {
        while stage.ended("slow") < 2 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("both are counted");
}

#[tokio::test]
async fn who_never_reads_an_answer_is_given_up_and_counted() {
    let limits = Limits { taken_within: Duration::from_millis(300), ..Limits::default() };
    let mut stage = Stage::new(Audience::Host, limits).await;
    stage.probe(Ok(()));
    let mut deaf = stage.connect().await;
    // More answers than all buffers on the way hold; the server takes no more questions when they are full.
    let ask = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
    let asking = async { while deaf.write_all(&ask).await.is_ok() {} };
    timeout(Duration::from_secs(20), asking).await.expect("the server gives the reader up");
    timeout(Duration::from_secs(10), async {
        while stage.ended("slow") < 1 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it is counted");
    assert_eq!(stage.ready().await.0, 200, "and the next one is answered");
}

#[tokio::test]
async fn the_oldest_makes_room_and_the_balancer_always_gets_in() {
    let limits = Limits { connections: 8, ..Limits::default() };
    let stage = Stage::new(Audience::Balancer, limits).await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(stage.connect().await);
        if idle.len() % 20 == 0 {
            assert_eq!(stage.ready().await.0, 503);
        }
    }
    assert!(stage.ended("evicted") >= 92, "{}", stage.ended("evicted"));
    let mut first = idle.remove(0);
    assert!(matches!(timeout(Duration::from_secs(5), first.read(&mut [0; 1])).await, Ok(Ok(0) | Err(_))));
}

#[tokio::test]
async fn followers_are_told_of_changes_and_are_few() {
    let limits = Limits { followers: 1, ..Limits::default() };
    let mut stage = Stage::new(Audience::Host, limits).await;
    stage.probe(Ok(()));
    let mut follower = stage.connect().await;
    follower.write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut heard = String::new();
    while !heard.contains("serving") {
        let mut buffer = [0; 4096];
        let length = timeout(Duration::from_secs(10), follower.read(&mut buffer)).await.unwrap().unwrap();
        heard += &String::from_utf8_lossy(&buffer[..length]);
    }
    assert!(heard.contains("text/event-stream") && heard.contains("data: <section"), "{heard}");
    assert_eq!(stage.get("/events").await.0, StatusCode::SERVICE_UNAVAILABLE, "one more is too many");
    stage.probe(Err("status 500"));
    while !heard.contains("unhealthy") {
        let mut buffer = [0; 4096];
        let length = timeout(Duration::from_secs(10), follower.read(&mut buffer)).await.unwrap().unwrap();
        heard += &String::from_utf8_lossy(&buffer[..length]);
    }
}

#[tokio::test]
async fn the_health_check_service_is_answered_where_it_is_asked_for() {
    let question = json!({
        "check": { "id": "hc-1", "protocol": "http", "endpoint": "/health", "port": 8080, "timeout": 5 },
        "instances": [{ "id": "i-0abc", "address": "10.0.0.7" }, { "id": "i-other", "address": "10.0.0.8" }],
    })
    .to_string();
    let head = format!(
        "POST /api/check HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        question.len()
    );
    let request = head + &question;
    let stage = Stage::of(Audience::Balancer, Limits::default(), false).await;
    assert!(stage.says(request.as_bytes()).await.starts_with("HTTP/1.1 405"));
    let mut stage = Stage::of(Audience::Balancer, Limits::default(), true).await;
    let answer = stage.says(b"GET /api/check HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: POST"), "{answer}");
    stage.probe(Ok(()));
    let answer = stage.says(request.as_bytes()).await;
    let document: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let items = &document["response"]["items"];
    assert_eq!(
        items[0],
        json!({ "id": "i-0abc", "check": { "success": true, "output": { "code": 200, "text": "OK" } } })
    );
    assert_eq!(items[1]["check"]["success"], json!(false));
    stage.probe(Err("status 500"));
    let answer = stage.says(request.as_bytes()).await;
    assert!(answer.contains("probe `app`: status 500") && answer.contains(r#""success":false"#), "{answer}");
}

#[tokio::test]
async fn the_page_runs_nothing_but_its_own() {
    let stage = Stage::new(Audience::Host, Limits::default()).await;
    let answer = stage.says(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let head = answer.split_once("\r\n\r\n").unwrap().0.to_lowercase();
    assert!(head.contains("content-security-policy: default-src 'none'; style-src 'sha256-"), "{head}");
    assert!(head.contains("x-content-type-options: nosniff"), "{head}");
    assert!(!answer.contains("http://") && !answer.contains("https://"), "nothing is fetched from elsewhere");
}
