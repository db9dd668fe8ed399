//! Plays a hook script line by line, CodeDeploy's way: `pitcrew hook` by the real client, `systemctl` in the world.

use std::io;
use std::time::Duration;

use pitcrew_rehearsal::bundle::{Step, read_script};
use pitcrew_rehearsal::crew::{ScriptCode, ScriptJob, ScriptOutcome};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::agent::{ROOT, Seated};
use crate::cli::hook;
use crate::protocol::client::{self, End, Waiting};
use crate::protocol::{Hook, Request};

/// What a shell exits with when a command of `set -e` cannot be run.
const CANNOT_RUN: i32 = 126;

/// Nothing ends what ignores SIGTERM under a host agent that knows nothing else.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// An outcome without a script.
pub(super) fn broken(why: String) -> ScriptOutcome {
    ScriptOutcome { code: ScriptCode::UnknownError, exit: None, output: why, took: Duration::ZERO }
}

/// Plays the script of `job` on the instance of `seated`. At its timeout a hook is told to stop, as by SIGTERM, and
/// anything else ends there, unless it ignores SIGTERM: then it goes on until the host agent kills it, if ever.
pub(super) async fn run(job: ScriptJob, seated: &Seated) -> ScriptOutcome {
    let began = Instant::now();
    let timeout = began + job.timeout;
    let mut over = timeout;
    let steps = match read_script(&job.text) {
        Ok(steps) => steps,
        Err(unplayable) => return broken(format!("{}: {unplayable}", job.location)),
    };
    let output = &job.transcript;
    let mut exit = 0;
    for step in &steps {
        exit = match step {
            Step::Hook => call(&job, seated, over).await,
            Step::Systemctl(words) => {
                let answer = timeout_at(over, job.services.systemctl(words)).await;
                answer.map_or(CANNOT_RUN, |answer| {
                    output.hear_line(&answer.says);
                    i32::from(answer.exit)
                })
            }
            Step::Sleep(time) => {
                // What the timeout cuts short, the end of the script tells.
                let _ = timeout_at(over, sleep(*time)).await;
                0
            }
            Step::IgnoreTerm => {
                over = match job.host_agent.kills_after() {
                    Some(after) => timeout + after,
                    None => timeout + FOR_EVER,
                };
                0
            }
            Step::Exit(status) => {
                exit = *status;
                break;
            }
        };
        // Every script of a rehearsal that starts no processes is played as if it began with `set -e`.
        if exit != 0 || Instant::now() >= over {
            break;
        }
    }
    let code = match exit {
        _ if Instant::now() >= timeout => ScriptCode::ScriptTimedOut,
        0 => ScriptCode::Success,
        _ => ScriptCode::ScriptFailed,
    };
    ScriptOutcome { code, exit: Some(exit), output: output.last_characters(), took: began.elapsed() }
}

async fn call(job: &ScriptJob, seated: &Seated, over: Instant) -> i32 {
    let output = &job.transcript;
    let told: Hook = match hook::told_by(|variable| job.environment.get(variable).cloned()) {
        Ok(told) => told,
        Err(sentence) => {
            output.hear_line(&sentence);
            return i32::from(crate::cli::exit::USAGE);
        }
    };
    let connect = || async {
        match seated.dialer() {
            Some(dialer) => dialer.connect(ROOT).await,
            None => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
        }
    };
    let cancelled = sleep_until(over);
    let mut progress = |sentence: &str| output.hear_line(sentence);
    let end = client::call(connect, Request::Hook(told), Waiting::default(), cancelled, &mut progress).await;
    match end {
        Ok(End::Answer(answer)) => {
            output.hear_line(&answer.sentence);
            i32::from(answer.verdict.exit_status())
        }
        Ok(End::Status(_)) => {
            output.hear_line("the agent answered a hook with its status");
            i32::from(crate::cli::exit::FAILED)
        }
        Err(error) => {
            output.hear_line(&error.to_string());
            i32::from(error.exit_status())
        }
    }
}
