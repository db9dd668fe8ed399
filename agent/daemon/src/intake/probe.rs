//! Health probes: each asks its question at its interval and tells every answer. What the answers mean is the core's.

mod host;

use std::io;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use pitcrew_core::time::{Spoken, millis};
use pitcrew_core::wire::Event;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::config::{Check, Probe, Statuses};
use crate::doors::{Transport, with_causes};

/// Asks `probe`'s question at once, then at every interval, and tells each answer, until the receiver is gone. `seed`
/// spreads the second question, so that probes of one interval do not always come together.
pub async fn run<I>(probe: Probe, transport: Arc<dyn Transport>, seed: u64, heard: mpsc::Sender<I>)
where
    I: From<Event>,
{
    let phase = fastrand::Rng::with_seed(seed).u64(0..=millis(probe.interval));
    let mut answer = ask(&probe, transport.as_ref()).await;
    let start = Instant::now() + Duration::from_millis(phase);
    let mut ticks = interval_at(start, probe.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let event = Event::ProbeAnswered { probe: probe.name.clone(), answer };
        if heard.send(event.into()).await.is_err() {
            return;
        }
        tokio::select! {
            biased;
            () = heard.closed() => return,
            _ = ticks.tick() => {}
        }
        answer = ask(&probe, transport.as_ref()).await;
    }
}

/// Asks once. An error is a sentence for people.
pub async fn ask(probe: &Probe, transport: &dyn Transport) -> Result<(), String> {
    match &probe.check {
        Check::Http { url, expect } => get(url, expect, probe.timeout, transport).await,
        Check::Tcp { address } => connect(address, probe.timeout).await,
        Check::Command { command } => execute(command, probe.timeout).await,
        Check::Disk { path, free_percent } => host::disk(path, *free_percent),
        Check::Memory { available_percent } => host::memory(*available_percent),
        Check::MemoryPressure { percent } => host::memory_pressure(*percent),
        Check::Load { per_cpu } => host::load(*per_cpu),
    }
}

async fn get(url: &Uri, expect: &Statuses, patience: Duration, transport: &dyn Transport) -> Result<(), String> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = url.clone();
    // A kept connection would tell of the process that is, not whether a new client gets in.
    let headers = request.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static("pitcrew-probe"));
    match transport.send(request, patience).await {
        Ok(answer) if expect.contains(answer.status().as_u16()) => Ok(()),
        Ok(answer) => Err(format!("{url} answered {}, not {expect}", answer.status())),
        Err(error) => Err(with_causes(&error)),
    }
}

async fn connect(address: &str, patience: Duration) -> Result<(), String> {
    match timeout(patience, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("no connection to {address}: {error}")),
        Err(_) => Err(format!("{address} did not accept within {}", Spoken(patience))),
    }
}

async fn execute(command: &[String], patience: Duration) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else {
        return Err("the command is empty".to_owned());
    };
    let started = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut group = match started {
        Ok(child) => Group(child),
        Err(error) => return Err(format!("`{program}` cannot be run: {error}")),
    };
    match timeout(patience, group.finish()).await {
        Ok(Ok(End { status, .. })) if status.success() => Ok(()),
        Ok(Ok(End { status, last_words })) if last_words.is_empty() => Err(format!("`{program}` ended with {status}")),
        Ok(Ok(End { status, last_words })) => Err(format!("`{program}` ended with {status}: {last_words}")),
        Ok(Err(error)) => Err(format!("`{program}` was lost: {error}")),
        Err(_) => Err(format!("`{program}` did not end within {} and was killed", Spoken(patience))),
    }
}

/// A running command with all that it started; dropped before its end, it is killed as a whole.
struct Group(Child);

struct End {
    status: ExitStatus,
    last_words: String,
}

impl Group {
    async fn finish(&mut self) -> io::Result<End> {
        let mut stderr = self.0.stderr.take();
        let mut words = Vec::new();
        let status = {
            let mut listening = pin!(listen(stderr.as_mut(), &mut words));
            let mut ended = pin!(self.0.wait());
            tokio::select! {
                biased;
                () = &mut listening => ended.await?,
                // Somebody whom the command left behind may hold its output open; nobody waits long for that.
                status = &mut ended => {
                    let _ = timeout(LAST_WORDS, &mut listening).await;
                    status?
                }
            }
        };
        Ok(End { status, last_words: last_line(&words) })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // `None`: it has ended and was waited for, and its number may be somebody else's.
        let pid = self.0.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// How long an ended command's last words are waited for.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// What a command may say; the rest is read and dropped, so that it does not block.
const WORDS: usize = 4096;

async fn listen(stream: Option<&mut tokio::process::ChildStderr>, words: &mut Vec<u8>) {
    let Some(stream) = stream else {
        return;
    };
    let mut chunk = [0; 1024];
    while let Ok(length @ 1..) = stream.read(&mut chunk).await {
        words.extend_from_slice(&chunk[..length]);
        let excess = words.len().saturating_sub(WORDS);
        words.drain(..excess);
    }
}

fn last_line(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    line.unwrap_or_default().chars().take(200).collect()
}
