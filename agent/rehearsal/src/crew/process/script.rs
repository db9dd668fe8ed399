//! Runs one hook script as CodeDeploy's agent does.
//!
//! A process group of its own, closed standard input, output through pipes, TERM to the group at the timeout, and KILL
//! five seconds later (version 2) or never (version 1); a child that keeps the output open fails the event at the
//! timeout.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, Uid};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::dirs;
use crate::crew::services::SOCKET_VARIABLE;
use crate::crew::{ScriptCode, ScriptJob, ScriptOutcome, Services, Transcript};

/// How long the output of a script that timed out is still read once it has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// An outcome without a process.
pub(super) fn broken(why: String) -> ScriptOutcome {
    without_process(ScriptCode::UnknownError, why)
}

fn without_process(code: ScriptCode, output: String) -> ScriptOutcome {
    ScriptOutcome { code, exit: None, output, took: Duration::ZERO }
}

pub(super) async fn run(job: ScriptJob, environment: BTreeMap<String, String>) -> ScriptOutcome {
    let Some(path) = job.path.clone().filter(|path| path.is_file()) else {
        let why = format!("Script does not exist at specified location: {}", job.location);
        return without_process(ScriptCode::ScriptMissing, why);
    };
    if let Err(error) = make_executable(&path) {
        let why = format!("Unable to set script at specified location: {} as executable: {error}", job.location);
        return without_process(ScriptCode::ScriptNotExecutable, why);
    }
    let manager = match Door::open(&job) {
        Ok(door) => door,
        Err(error) => return broken(format!("the stand-in systemctl cannot listen: {error:#}")),
    };
    let started = Instant::now();
    let mut command = command(&job, &path);
    command
        .env_clear()
        .envs(environment)
        .env(SOCKET_VARIABLE, &manager.path)
        .envs(&job.environment)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            return without_process(ScriptCode::UnknownError, format!("{}: {error}", job.location));
        }
    };
    drop(child.stdin.take());
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let mut leash = Leash(group);
    let mut readers = JoinSet::new();
    if let Some(stdout) = child.stdout.take() {
        readers.spawn(collect(stdout, job.transcript.clone()));
    }
    if let Some(stderr) = child.stderr.take() {
        readers.spawn(collect(stderr, job.transcript.clone()));
    }
    let deadline = started + job.timeout;
    let (code, exit) = match timeout_at(deadline, child.wait()).await {
        Ok(Ok(status)) => {
            let open = timeout_at(deadline, async { while readers.join_next().await.is_some() {} }).await.is_err();
            let code = match (status.success(), open) {
                (_, true) => ScriptCode::OutputsLeftOpen,
                (true, false) => ScriptCode::Success,
                (false, false) => ScriptCode::ScriptFailed,
            };
            (code, exit_code(status))
        }
        Ok(Err(_)) => (ScriptCode::UnknownError, None),
        Err(_) => {
            if let Some(group) = group {
                // The group may have ended in between.
                let _ = killpg(group, Signal::SIGTERM);
            }
            // A script that ignores TERM is waited for, or killed: as the host agent's generation does.
            if let Some(patience) = job.host_agent.kills_after()
                && timeout(patience, child.wait()).await.is_err()
                && let Some(group) = group
            {
                let _ = killpg(group, Signal::SIGKILL);
            }
            let status = child.wait().await.ok();
            let last_words = async { while readers.join_next().await.is_some() {} };
            // Children that ignore TERM may keep the output open: what they say later is not waited for.
            let _ = timeout(LAST_WORDS, last_words).await;
            (ScriptCode::ScriptTimedOut, status.and_then(exit_code))
        }
    };
    leash.0 = None;
    readers.abort_all();
    ScriptOutcome { code, exit, output: job.transcript.last_characters(), took: started.elapsed() }
}

/// Ends a process group when it is dropped: its instance is gone.
struct Leash(Option<Pid>);

impl Drop for Leash {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // The group may have ended just now.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

fn exit_code(status: ExitStatus) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal))
}

fn make_executable(path: &Path) -> std::io::Result<()> {
    let mut permissions = std::fs::metadata(path)?.permissions();
    if permissions.mode() & 0o111 == 0 {
        permissions.set_mode(permissions.mode() | 0o755);
        std::fs::set_permissions(path, permissions)?;
    }
    Ok(())
}

/// `runas` and `sudo` need root; without it the script runs as the caller, and the timeline says so.
fn command(job: &ScriptJob, path: &Path) -> Command {
    let root = Uid::effective().is_root();
    match (&job.run_as, job.sudo) {
        (Some(user), _) if root && user != "root" => {
            let mut command = Command::new("su");
            command.arg(user).arg("-c").arg(path);
            command
        }
        (Some(_), _) | (None, true) if root => Command::new(path),
        (None, false) => Command::new(path),
        (Some(_), _) | (None, true) => {
            let asked = match &job.run_as {
                Some(user) => format!("runas: {user}"),
                None => "sudo: true".to_owned(),
            };
            job.services
                .note_once(&format!("`{asked}` is not played: this rehearsal is not root, so scripts run as you"));
            Command::new(path)
        }
    }
}

async fn collect(mut from: impl AsyncRead + Unpin, into: Transcript) {
    let mut buffer = [0; 4096];
    while let Ok(length) = from.read(&mut buffer).await {
        if length == 0 {
            return;
        }
        into.hear(&buffer[..length]);
    }
}

/// The socket behind the stand-in `systemctl`, open while one script runs.
struct Door {
    path: PathBuf,
    _serving: JoinSet<()>,
}

impl Door {
    fn open(job: &ScriptJob) -> anyhow::Result<Self> {
        let name = format!("services-{:08x}", fastrand::u32(..));
        let path = dirs(&job.seat)?.runtime.join(name);
        let listener = UnixListener::bind(&path)?;
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, job.services.clone()));
        Ok(Self { path, _serving: serving })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // The directory goes with the rehearsal anyway.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn serve(listener: UnixListener, services: Services) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(answer(stream, services.clone()));
            }
            // Out of descriptors: the caller sees no answer and says so; look again shortly.
            Err(_) => sleep_until(Instant::now() + Duration::from_millis(20)).await,
        }
    }
}

async fn answer(stream: UnixStream, services: Services) {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    if BufReader::new(reader).read_line(&mut line).await.is_err() {
        return;
    }
    let Ok(words) = serde_json::from_str::<Vec<String>>(&line) else {
        return;
    };
    if let Ok(mut reply) = serde_json::to_string(&services.systemctl(&words).await) {
        reply.push('\n');
        // A caller that has gone needs no answer.
        let _ = writer.write_all(reply.as_bytes()).await;
    }
}
