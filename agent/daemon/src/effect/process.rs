//! Runs one program of the operator's: in a process group of its own, for a bounded time, its output in our log.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use pitcrew_core::time::Spoken;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::info;

/// What of its time a program has between SIGTERM and SIGKILL, at most.
const GRACE: Duration = Duration::from_secs(2);

/// How long the output of a program that has ended is waited for: somebody else may hold it open.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// A killed process that does not even die is not waited for longer than this.
const REAP: Duration = Duration::from_millis(100);

/// What the log takes from one program; the rest is read, dropped and counted.
const LINES: usize = 200;
const LINE: usize = 1000;

/// Runs `command` for at most `share`: SIGTERM to its whole process group shortly before the end, SIGKILL at the end.
/// It is over when its first process is, and what that leaves behind in the group is killed. The words complete a
/// sentence that begins with the program's name: `exited 0 after 2 s`, `has failed`.
pub(super) async fn run(command: Command, name: &str, share: Duration) -> Result<String, String> {
    let began = Instant::now();
    let (mut group, output) =
        Group::start(command).map_err(|error| format!("could not be started: {error}{}", hint(&error)))?;
    let mut speech = Speech::of(name);
    let end = {
        let mut ended = pin!(group.end(began, share));
        let mut passed_on = pin!(speech.pass_on(output));
        tokio::select! {
            biased;
            end = &mut ended => {
                let _ = timeout(LAST_WORDS, passed_on).await;
                end
            }
            () = &mut passed_on => ended.await,
        }
    };
    speech.finish();
    let took = Spoken(began.elapsed());
    match end {
        End::Exited(status) => match (status.code(), status.signal()) {
            (Some(0), _) => Ok(format!("exited 0 after {took}")),
            (Some(code), _) => Err(format!("exited {code} after {took}")),
            (None, signal) => Err(format!("was ended by {} after {took}", named(signal))),
        },
        End::Terminated => Err(format!("did not end within {} and was ended by SIGTERM", Spoken(share))),
        End::Killed => Err(format!("did not end within {} and was killed", Spoken(share))),
        End::Lost(error) => Err(format!("was lost: {error}")),
    }
}

/// How a program came to its end.
enum End {
    Exited(ExitStatus),
    Terminated,
    Killed,
    Lost(io::Error),
}

fn named(signal: Option<i32>) -> String {
    let known = signal.and_then(|number| Signal::try_from(number).ok());
    known.map_or_else(|| "a signal".to_owned(), |signal| signal.to_string())
}

/// What to do about a program that cannot be started.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => " (chmod +x)",
        io::ErrorKind::NotFound => " (is there such a file, and the interpreter that its first line names?)",
        _ if error.raw_os_error() == Some(nix::libc::ENOEXEC) => " (a script begins with #!)",
        _ => "",
    }
}

/// A program and all that it started. Dropped before its end, it is killed as a whole.
struct Group(Child);

impl Group {
    fn start(mut command: Command) -> io::Result<(Self, pipe::Receiver)> {
        let (output, input) = io::pipe()?;
        let output = pipe::Receiver::from_owned_fd(OwnedFd::from(output))?;
        let child = command.stdin(Stdio::null()).stdout(input.try_clone()?).stderr(input).process_group(0).spawn()?;
        // The command holds the writing end of the pipe, too: with it here, the output would never end.
        drop(command);
        Ok((Self(child), output))
    }

    async fn end(&mut self, began: Instant, share: Duration) -> End {
        let (kill_at, term_at) = (began + share, began + share - GRACE.min(share / 4));
        let Some(pid) = self.pid() else {
            return End::Lost(io::ErrorKind::NotFound.into());
        };
        let outcome = match timeout_at(term_at, ended(pid)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(End::Lost(error)),
            Err(_) => {
                self.signal(Signal::SIGTERM);
                match timeout_at(kill_at, ended(pid)).await {
                    Ok(_) => Some(End::Terminated),
                    Err(_) => Some(End::Killed),
                }
            }
        };
        // Not reaped yet, so the group's number is still its own: what is left in it is the program's.
        self.signal(Signal::SIGKILL);
        match (outcome, timeout(REAP, self.0.wait()).await) {
            (Some(outcome), _) => outcome,
            (None, Ok(Ok(status))) => End::Exited(status),
            (None, Ok(Err(error))) => End::Lost(error),
            (None, Err(_)) => End::Lost(io::ErrorKind::TimedOut.into()),
        }
    }

    /// `None`: it has ended and was reaped, and its number may be somebody else's.
    fn pid(&self) -> Option<Pid> {
        self.0.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw)
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // A group that is gone already has what was wanted.
            let _ = killpg(pid, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// Waits until the child has ended, and leaves it unreaped.
async fn ended(pid: Pid) -> io::Result<()> {
    let mut children = signal(SignalKind::child())?;
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    while waitid(Id::Pid(pid), look)? == WaitStatus::StillAlive {
        children.recv().await;
    }
    Ok(())
}

/// What a program says, on its way into the log: line by line, and never more of it in memory than one line.
struct Speech<'a> {
    name: &'a str,
    line: Vec<u8>,
    lines: usize,
    dropped: u64,
}

impl<'a> Speech<'a> {
    fn of(name: &'a str) -> Self {
        Self { name, line: Vec::new(), lines: 0, dropped: 0 }
    }

    async fn pass_on(&mut self, mut output: pipe::Receiver) {
        let mut chunk = vec![0; 8192];
        while let Ok(length @ 1..) = output.read(&mut chunk).await {
            for piece in chunk[..length].split_inclusive(|byte| *byte == b'\n') {
                self.take(piece);
            }
        }
    }

    fn take(&mut self, piece: &[u8]) {
        let (words, ends) = match piece.strip_suffix(b"\n") {
            Some(words) => (words, true),
            None => (piece, false),
        };
        let room = if self.lines < LINES { LINE.saturating_sub(self.line.len()) } else { 0 };
        let kept = words.len().min(room);
        self.line.extend_from_slice(&words[..kept]);
        self.dropped += (words.len() - kept) as u64;
        if ends {
            self.say();
        }
    }

    fn say(&mut self) {
        if !self.line.is_empty() {
            let line = String::from_utf8_lossy(&self.line).replace(char::is_control, " ");
            info!(program = self.name, "{}: {line}", self.name);
            self.line.clear();
            self.lines += 1;
        }
    }

    fn finish(mut self) {
        self.say();
        if self.dropped > 0 {
            info!(program = self.name, bytes = self.dropped, "{}: said more than the log takes", self.name);
        }
    }
}
