//! Health probes: their rhythm in virtual time, their questions against real sockets and real processes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pitcrew::config::{Check, Probe, Statuses};
use pitcrew::doors::{HostTransport, Transport};
use pitcrew::intake::probe;
use pitcrew_core::wire::Event;
use scripted::{Outcome, Scripted, answer, refused};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

fn probe(check: Check, interval: u64, timeout: u64) -> Probe {
    Probe {
        name: "app".into(),
        check,
        interval: Duration::from_millis(interval),
        timeout: Duration::from_millis(timeout),
    }
}

fn http() -> Check {
    Check::Http { url: "http://127.0.0.1:8080/health".parse().unwrap(), expect: Statuses::success() }
}

fn command(script: &str) -> Check {
    Check::Command { command: ["sh", "-c", script].map(str::to_owned).to_vec() }
}

fn watch(probe: Probe, transport: Arc<dyn Transport>) -> mpsc::Receiver<Event> {
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(probe::run(probe, transport, 42, sender));
    receiver
}

async fn next(told: &mut mpsc::Receiver<Event>) -> Result<(), String> {
    match told.recv().await.expect("the probe goes on") {
        Event::ProbeAnswered { probe, answer } => {
            assert_eq!(probe.as_str(), "app");
            answer
        }
        other => panic!("a probe does not tell {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_question_comes_at_once_and_the_others_at_their_interval() {
    let transport = Scripted::new(|_| async { answer(200, "ok") });
    let began = Instant::now();
    let mut told = watch(probe(http(), 2_000, 1_000), transport.clone());
    for _ in 0..10 {
        assert_eq!(next(&mut told).await, Ok(()));
    }
    let times: Vec<_> = transport.seen().iter().map(|seen| seen.at - began).collect();
    assert_eq!(times[0], Duration::ZERO);
    assert!(times[1] <= Duration::from_secs(2), "{times:?}");
    let gaps: Vec<_> = times[1..].windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps, [Duration::from_secs(2); 8]);
    assert_eq!(transport.seen()[0].headers["connection"], "close", "a new client's view");
}

#[tokio::test(start_paused = true)]
async fn a_slow_application_is_not_asked_twice_at_once() {
    let transport = Scripted::new(|_| async {
        sleep(Duration::from_millis(2_500)).await;
        answer(200, "ok")
    });
    let mut told = watch(probe(http(), 1_000, 3_000), transport.clone());
    let began = Instant::now();
    for _ in 0..10 {
        assert_eq!(next(&mut told).await, Ok(()));
    }
    let asked = transport.seen().len();
    assert!(asked <= 11 && began.elapsed() >= Duration::from_secs(25), "{asked} in {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_bad_answer_says_what_was_bad() {
    type Case<'a> = (fn() -> Outcome, &'a str);
    let table: [Case<'_>; 3] = [
        (|| answer(503, "starting"), "http://127.0.0.1:8080/health answered 503 Service Unavailable, not 200-399"),
        (|| answer(404, ""), "http://127.0.0.1:8080/health answered 404 Not Found, not 200-399"),
        (refused, "no connection to stand-in: connection refused"),
    ];
    for (outcome, said) in table {
        let transport = Scripted::new(move |_| async move { outcome() });
        assert_eq!(probe::ask(&probe(http(), 1_000, 1_000), transport.as_ref()).await, Err(said.to_owned()));
    }
    let hanging = Scripted::new(|_| std::future::pending());
    let said = probe::ask(&probe(http(), 1_000, 1_000), hanging.as_ref()).await.unwrap_err();
    assert_eq!(said, "stand-in did not answer within 1 s");
}

async fn ask(check: Check, patience: u64) -> Result<(), String> {
    let transport = HostTransport::default();
    probe::ask(&probe(check, 1_000, patience), &transport).await
}

#[tokio::test]
async fn a_port_that_accepts_is_healthy_and_a_closed_one_is_not() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let check = Check::Tcp { address: address.clone() };
    assert_eq!(ask(check.clone(), 10_000).await, Ok(()));
    drop(listener);
    let said = ask(check, 10_000).await.unwrap_err();
    assert!(said.starts_with(&format!("no connection to {address}: ")), "{said}");
}

#[tokio::test]
async fn a_command_answers_by_its_status_and_its_last_words() {
    assert_eq!(ask(command("exit 0"), 10_000).await, Ok(()));
    let silent = ask(command("exit 3"), 10_000).await.unwrap_err();
    assert_eq!(silent, "`sh` ended with exit status: 3");
    let talking = ask(command("echo first >&2; echo 'pool is empty' >&2; exit 1"), 10_000).await.unwrap_err();
    assert_eq!(talking, "`sh` ended with exit status: 1: pool is empty");
    let missing = Check::Command { command: vec!["/nonexistent/check".to_owned()] };
    let said = ask(missing, 10_000).await.unwrap_err();
    assert!(said.starts_with("`/nonexistent/check` cannot be run: "), "{said}");
}

#[tokio::test]
async fn a_command_that_says_a_lot_is_neither_blocked_nor_kept() {
    let flood = "i=0; while [ $i -lt 4000 ]; do echo 'a line of about fifty characters, over and over again' >&2; i=$((i+1)); done; echo end >&2; exit 1";
    assert_eq!(ask(command(flood), 60_000).await.unwrap_err(), "`sh` ended with exit status: 1: end");
}

/// Whether a process still runs; a dead one may wait to be collected.
fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).unwrap_or("gone").to_owned();
    !matches!(state.as_str(), "gone" | "Z" | "X")
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_all_that_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pids");
    let script = format!("trap '' TERM; sleep 1000 & echo $! $$ > {}; wait", pids.display());
    let said = ask(command(&script), 2_000).await.unwrap_err();
    assert_eq!(said, "`sh` did not end within 2 s and was killed");
    let pids = fs::read_to_string(pids).unwrap();
    let pids: Vec<_> = pids.split_whitespace().collect();
    assert_eq!(pids.len(), 2, "the script got as far as to say who it is");
    let gone = async {
        while pids.iter().any(|pid| is_alive(pid)) {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.expect("both are dead");
}

#[tokio::test]
async fn a_command_that_leaves_somebody_behind_is_not_waited_for_longer() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let began = Instant::now();
    let script = format!("sleep 30 & echo $! > {}; exit 0", pid.display());
    assert_eq!(ask(command(&script), 20_000).await, Ok(()), "though its standard error stays open");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let pid = fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
}
