//! Runs the executables of a directory, in the order of their names, each for its share of the time that is left.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{Stream, unfold};
use pitcrew_core::wire::{Failure, FailureKind};
use tokio::process::Command;

use super::{Order, ScriptEnded, Trust};
use crate::doors::Clock;
use crate::effect::process;

/// Of the time that is left, this much is kept, so that the last answer comes before the deadline.
const RESERVE: Duration = Duration::from_millis(300);

/// With less than this a script is not even begun.
const LEAST: Duration = Duration::from_millis(50);

/// What package managers and editors leave lying about.
const LEFTOVERS: [&str; 6] = ["~", ".dpkg-new", ".dpkg-old", ".dpkg-dist", ".rpmnew", ".rpmsave"];

/// What concerns the agent's own service, and nobody whom it starts.
const OURS: [&str; 5] = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "CREDENTIALS_DIRECTORY", "INVOCATION_ID"];

/// Runs the scripts of one directory in this process's own rights.
#[derive(Clone)]
pub struct Runner {
    /// Where they lie.
    pub directory: PathBuf,
    /// Whose scripts run.
    pub trust: Trust,
    /// Says how much time is left.
    pub clock: Arc<dyn Clock>,
}

impl Runner {
    /// Begins to run what `order` leaves to run. Fails where the directory cannot be read, or is not to be trusted.
    pub(super) fn start(&self, order: Order) -> Result<impl Stream<Item = ScriptEnded> + Send + use<>, Failure> {
        let names = self.list()?;
        let left = names.into_iter().filter(|name| !order.ended.contains(name)).collect();
        let run = Run { runner: self.clone(), order, left };
        Ok(unfold(run, |mut run| async move { Some((run.next().await?, run)) }))
    }

    /// The names of what lies there to be run, in order; none where there is no such directory.
    pub(super) fn list(&self) -> Result<Vec<String>, Failure> {
        let shown = self.directory.display();
        let failed = |error: &io::Error| Failure {
            kind: FailureKind::Denied,
            sentence: format!("`{shown}` cannot be read, so none of its scripts ran: {error}"),
        };
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| failed(&error))?,
        };
        self.trust
            .check(&self.directory)
            .map_err(|why| Failure { kind: FailureKind::Denied, sentence: format!("`{shown}` {why}") })?;
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| failed(&error))?.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') && !LEFTOVERS.iter().any(|leftover| name.ends_with(leftover)) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

/// The scripts that are still to be run.
struct Run {
    runner: Runner,
    order: Order,
    left: VecDeque<String>,
}

impl Run {
    async fn next(&mut self) -> Option<ScriptEnded> {
        let among = u32::try_from(self.left.len()).unwrap_or(u32::MAX);
        let name = self.left.pop_front()?;
        let left = self.order.until.remaining(self.runner.clock.now().at);
        let share = left.saturating_sub(RESERVE.min(left / 10)) / among;
        let how = match self.may_run(&name, share) {
            Ok(()) => process::run(self.command(&name, share), &name, share).await,
            Err(why) => Err(why),
        };
        Some(ScriptEnded { name, how })
    }

    fn may_run(&self, name: &str, share: Duration) -> Result<(), String> {
        let path = self.runner.directory.join(name);
        let facts = fs::metadata(&path).map_err(|error| format!("cannot be looked at: {error}"))?;
        if !facts.is_file() {
            return Err("is no file that could be run".to_owned());
        }
        if facts.permissions().mode() & 0o111 == 0 {
            return Err("has no run bit (chmod +x)".to_owned());
        }
        self.runner.trust.check(&path)?;
        if share < LEAST {
            return Err("was not run: no time was left".to_owned());
        }
        Ok(())
    }

    fn command(&self, name: &str, share: Duration) -> Command {
        let Order { why, until, instance, region, .. } = &self.order;
        let now = self.runner.clock.now();
        let deadline = (now.wall.0 + until.remaining(now.at).as_millis() as u64) / 1000;
        let mut command = Command::new(self.runner.directory.join(name));
        command
            .current_dir("/")
            .env("PITCREW_REASON", why.word())
            .env("PITCREW_DEADLINE", deadline.to_string())
            .env("PITCREW_SECONDS_LEFT", share.as_secs().to_string())
            .env("PITCREW_INSTANCE_ID", instance.as_str())
            .env("PITCREW_REGION", region);
        for name in OURS {
            command.env_remove(name);
        }
        command
    }
}
