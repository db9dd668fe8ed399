//! Ten balancers ask a real agent, thousands of times, while a real deployment rolls over its instance.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pitcrew_rehearsal::bundle::Bundle;
use pitcrew_rehearsal::clock::WorldClock;
use pitcrew_rehearsal::crew::ProcessCrew;
use pitcrew_rehearsal::rehearsal::{self, Options, Stage};
use pitcrew_rehearsal::timeline::{Happening, Timeline};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const QUESTIONS: u64 = 10_000;
const BALANCERS: u64 = 10;

/// What one question was answered, 0 for not at all, and when it was asked and answered.
#[derive(Clone, Copy, Debug)]
struct Answered {
    asked: Duration,
    at: Duration,
    status: u16,
}

/// Asks `/ready` over one connection as long as it is kept.
pub(super) struct Balancer {
    pub(super) address: SocketAddr,
    pub(super) stream: Option<TcpStream>,
}

impl Balancer {
    pub(super) async fn ask(&mut self, path: &str) -> std::io::Result<(u16, String)> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => TcpStream::connect(self.address).await?,
        };
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        loop {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let text = String::from_utf8_lossy(&answer).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() < length.map_or(0, |length| length.parse().unwrap()) {
                continue;
            }
            self.stream = Some(stream);
            return Ok((head[9..12].parse().unwrap(), body.to_owned()));
        }
    }
}

#[test]
fn every_question_of_a_deployment_is_answered_and_right() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut options = Options::of(Bundle::sample().unwrap());
        (options.rate, options.requests) = (25, 0);
        let timeline = Timeline::default();
        let stage = Stage::real(&options, timeline.clone()).await.unwrap();
        let address = stage.world.seats[0].looked_at;
        let clock = stage.world.clock;
        let crew = Arc::new(ProcessCrew::new(stage.world.clone(), env!("CARGO_BIN_EXE_pitcrew").into()).unwrap());

        let over = Arc::new(AtomicBool::new(false));
        let asking = tokio::spawn(ask(address, clock, over.clone()));
        let report = rehearsal::run(&options, &stage, crew, None).await.unwrap();
        over.store(true, Ordering::Relaxed);
        let (answers, scrapes) = asking.await.unwrap();
        assert!(report.passed, "{:#?}", report.findings);

        let at = |wanted: &dyn Fn(&Happening) -> bool| {
            let entries = timeline.entries();
            entries.iter().find(|entry| wanted(&entry.what)).map(|entry| entry.at).unwrap()
        };
        // Then the curtain falls: agents are stopped, and leave.
        let end = at(&|what| matches!(what, Happening::LoadEnded { .. }));
        let answers: Vec<_> = answers.into_iter().filter(|answered| answered.at < end).collect();
        let out = at(&|what| matches!(what, Happening::TargetDeregistered { .. }));
        let back = at(&|what| matches!(what, Happening::TargetRegistered { .. }));
        let mut turns: Vec<u16> = answers.iter().map(|answered| answered.status).collect();
        turns.dedup();
        let (first, last) = (memory(&scrapes[0]), memory(scrapes.last().unwrap()));
        println!(
            "{} questions answered; resident {:.2} MiB before, {:.2} MiB after; turns {turns:?}",
            answers.len(),
            first / 1048576.0,
            last / 1048576.0
        );
        assert!(answers.len() as u64 >= QUESTIONS, "{} questions", answers.len());
        assert_eq!(turns, [200, 503, 200], "in traffic, out of it, and back");
        for answered in &answers {
            let expected = match answered {
                // Not ready before the balancer is told so, and ready before it is told that again.
                Answered { asked, at, .. } if *asked >= out && *at < back - Duration::from_millis(500) => 503,
                Answered { at, .. } if *at < out - Duration::from_millis(500) => 200,
                Answered { asked, .. } if *asked > back => 200,
                _ => continue,
            };
            assert_eq!(answered.status, expected, "{answered:?}: out at {out:?}, back at {back:?}");
        }
        for line in [
            "pitcrew_deployments_total{outcome=\"succeeded\"} 1",
            "pitcrew_deployment_phase_duration_seconds_count{phase=\"draining\"} 1",
            "pitcrew_deployment_phase_duration_seconds_count{phase=\"installing\"} 1",
            "pitcrew_deployment_phase_duration_seconds_count{phase=\"returning\"} 1",
            "pitcrew_drain_duration_seconds_count{end=\"idle\"} 1",
            "pitcrew_hook_calls_total{event=\"ValidateService\",verdict=\"done\"} 1",
            "pitcrew_api_requests_total{service=\"elasticloadbalancing\",operation=\"DeregisterTargets\",outcome=\"ok\"} 1",
        ] {
            let last = scrapes.iter().rfind(|text| text.contains("pitcrew_state{state=\"serving\"} 1")).unwrap();
            assert!(last.lines().any(|found| found == line), "no `{line}` in\n{last}");
        }
        // The first deployment brings code into memory that was never run before; questions alone bring nothing.
        assert!(last - first < 6.0 * 1024.0 * 1024.0, "from {first} to {last} bytes");
    });
}

/// Asks from when the agent is ready until the rehearsal is over: the answers in order, and the agent's metrics meanwhile.
async fn ask(address: SocketAddr, clock: WorldClock, over: Arc<AtomicBool>) -> (Vec<Answered>, Vec<String>) {
    let mut first = Balancer { address, stream: None };
    timeout(Duration::from_secs(60), async {
        while !matches!(first.ask("/ready").await, Ok((200, _))) {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the agent gets ready");
    let mut scrapes = vec![first.ask("/metrics").await.unwrap().1];
    let asked = Arc::new(AtomicU64::new(0));
    let mut balancers = tokio::task::JoinSet::new();
    for _ in 0..BALANCERS {
        let (over, asked) = (over.clone(), asked.clone());
        balancers.spawn(async move {
            let mut balancer = Balancer { address, stream: None };
            let mut answers = Vec::new();
            while !over.load(Ordering::Relaxed) || asked.load(Ordering::Relaxed) < QUESTIONS {
                let began = clock.elapsed();
                let answer = balancer.ask("/ready").await;
                let status = answer.as_ref().map_or(0, |(status, _)| *status);
                answers.push(Answered { asked: began, at: clock.elapsed(), status });
                if answer.is_err() {
                    break;
                }
                asked.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(8)).await;
            }
            answers
        });
    }
    while !over.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(500)).await;
        // The last of them finds the agent gone.
        let Ok((_, text)) = first.ask("/metrics").await else { break };
        scrapes.push(text);
    }
    let mut answers: Vec<Answered> = balancers.join_all().await.into_iter().flatten().collect();
    answers.sort_by_key(|answered| answered.at);
    (answers, scrapes)
}

fn memory(text: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    line.unwrap().parse().unwrap()
}
