//! The crew of real processes: this very executable as agent and application, scripts as real process groups.

mod agent;
mod script;

pub use agent::agent_configuration;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::{Crew, DRAIN_SCRIPT, ScriptJob, ScriptOutcome, Verb};
use crate::net::BoxFuture;
use crate::seat::{Dirs, Seat};
use crate::timeline::Happening;
use crate::world::{World, identity::REGION};

/// Where programs are looked for after the instance's own `bin`.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long a process may take to end after it was asked to.
const FAREWELL: Duration = Duration::from_secs(100);

/// Runs agents, scripts and applications as processes. Dropping it kills the agents and the applications.
pub struct ProcessCrew {
    world: Arc<World>,
    program: PathBuf,
    settings: String,
    agents: Mutex<BTreeMap<u8, Child>>,
    applications: Mutex<BTreeMap<u8, Child>>,
}

impl ProcessCrew {
    /// A crew for a world with a disk; `program` is a `pitcrew` executable.
    ///
    /// Fails when an instance's directories cannot be made.
    pub fn new(world: Arc<World>, program: PathBuf) -> anyhow::Result<Self> {
        for seat in &world.seats {
            let dirs = dirs(seat)?;
            for directory in dirs.all() {
                fs::create_dir_all(directory).with_context(|| format!("creating `{}`", directory.display()))?;
            }
            symlink(&program, dirs.bin.join("pitcrew")).context("linking the agent under test")?;
            let systemctl = dirs.bin.join("systemctl");
            fs::write(&systemctl, "#!/bin/sh\nexec pitcrew rehearse-systemctl -- \"$@\"\n")?;
            fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755))?;
            boot(dirs).context("writing which boot this is")?;
            lay_drain_script(dirs).context("writing a script into drain.d")?;
        }
        let settings = String::new();
        Ok(Self { world, program, settings, agents: Mutex::default(), applications: Mutex::default() })
    }

    /// The same, whose agents are told `settings` besides, in TOML.
    #[must_use]
    pub fn with_settings(self, settings: &str) -> Self {
        Self { settings: settings.to_owned(), ..self }
    }

    /// The agents that run now.
    pub(crate) async fn agent_pids(&self) -> Vec<u32> {
        self.agents.lock().await.values().filter_map(Child::id).collect()
    }

    /// What every process of an instance sees: the stand-in world instead of AWS, and nothing of the caller's own
    /// environment, so that no real credentials reach a rehearsed script.
    pub fn environment(&self, seat: &Seat) -> anyhow::Result<BTreeMap<String, String>> {
        let dirs = dirs(seat)?;
        let aws = format!("http://{}", self.world.addresses.aws);
        let variables = [
            ("PATH", format!("{}:{SYSTEM_PATH}", dirs.bin.display())),
            ("LANG", "C.UTF-8".to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("AWS_ENDPOINT_URL", aws.clone()),
            ("AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2", aws.clone()),
            ("AWS_ENDPOINT_URL_CODEDEPLOY", aws),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{}", seat.metadata)),
            ("PITCREW_SOCKET", dirs.socket().display().to_string()),
        ];
        Ok(variables.map(|(name, value)| (name.to_owned(), value)).into())
    }

    fn command(&self, seat: &Seat) -> anyhow::Result<Command> {
        let mut command = Command::new(&self.program);
        command.env_clear().envs(self.environment(seat)?).current_dir("/").stdin(Stdio::null()).kill_on_drop(true);
        Ok(command)
    }
}

impl Crew for ProcessCrew {
    fn start_agent<'a>(&'a self, seat: &'a Seat) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            let child = agent::start(seat, &self.world, &self.settings, self.command(seat)?).await?;
            self.agents.lock().await.insert(seat.number, child);
            Ok(())
        })
    }

    fn kill_agent<'a>(&'a self, seat: &'a Seat) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            let agent = self.agents.lock().await.remove(&seat.number);
            let mut agent = agent.ok_or_else(|| anyhow!("no agent runs on instance {}", seat.number))?;
            agent.kill().await.context("killing the agent")
        })
    }

    fn stop_agent<'a>(&'a self, seat: &'a Seat) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            match self.agents.lock().await.remove(&seat.number) {
                Some(agent) => stop(agent).await.context("stopping the agent"),
                None => Ok(()),
            }
        })
    }

    fn boot<'a>(&'a self, seat: &'a Seat) -> BoxFuture<'a, ()> {
        if let Err(error) = dirs(seat).and_then(boot) {
            let note = format!("the instance stays in the boot that it was in: {error:#}");
            self.world.happened(Some(seat.number), Happening::Noted { note });
        }
        Box::pin(std::future::ready(()))
    }

    fn agent_status<'a>(&'a self, seat: &'a Seat) -> BoxFuture<'a, anyhow::Result<serde_json::Value>> {
        Box::pin(async move {
            let output = self
                .command(seat)?
                .args(["status", "--json"])
                .output()
                .await
                .context("running `pitcrew status --json`")?;
            serde_json::from_slice(&output.stdout).with_context(|| {
                let said = String::from_utf8_lossy(&output.stderr);
                format!("reading the agent's status ({}: {})", output.status, said.trim())
            })
        })
    }

    fn run_script(&self, job: ScriptJob) -> BoxFuture<'_, ScriptOutcome> {
        Box::pin(async move {
            match self.environment(&job.seat) {
                Ok(environment) => script::run(job, environment).await,
                Err(error) => script::broken(format!("{error:#}")),
            }
        })
    }

    fn application<'a>(&'a self, seat: &'a Seat, verb: Verb) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            let mut applications = self.applications.lock().await;
            match verb {
                Verb::Start { release, warm_up } => {
                    let dirs = dirs(seat)?;
                    let version_file = dirs.root.join("running-release");
                    fs::write(&version_file, release).context("writing the release to run")?;
                    let child = self
                        .command(seat)?
                        .arg("sample-app")
                        .args(["--listen", &seat.application.to_string()])
                        .arg("--version-file")
                        .arg(version_file)
                        .args(["--start-seconds", &warm_up.as_secs_f64().to_string()])
                        .stdout(log(&dirs.logs.join("application.log"))?)
                        .stderr(log(&dirs.logs.join("application.log"))?)
                        .spawn()
                        .context("starting the application")?;
                    applications.insert(seat.number, child);
                    Ok(())
                }
                Verb::Stop => match applications.remove(&seat.number) {
                    Some(application) => stop(application).await.context("stopping the application"),
                    None => Ok(()),
                },
            }
        })
    }
}

/// From now on the instance is in another boot.
fn boot(dirs: &Dirs) -> anyhow::Result<()> {
    let id = format!("{:032x}", fastrand::u128(..));
    let parts = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]];
    Ok(fs::write(dirs.boot_id(), parts.join("-"))?)
}

/// A script that takes a moment and leaves a line behind.
fn lay_drain_script(dirs: &Dirs) -> anyhow::Result<()> {
    let script = dirs.drain_scripts().join(DRAIN_SCRIPT);
    let text = format!(
        "#!/bin/sh\nset -eu\nsleep 0.5\necho \"${{0##*/}} $PITCREW_REASON, $PITCREW_SECONDS_LEFT s left\" >>'{}'\n",
        dirs.drain_log().display()
    );
    fs::create_dir_all(dirs.drain_scripts())?;
    fs::write(&script, text)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// The directories of a seat; an error where it has none.
fn dirs(seat: &Seat) -> anyhow::Result<&Dirs> {
    seat.dirs.as_ref().ok_or_else(|| anyhow!("instance {} has no disk: this is a simulated world", seat.number))
}

fn log(path: &Path) -> anyhow::Result<File> {
    File::options().create(true).append(true).open(path).with_context(|| format!("opening `{}`", path.display()))
}

/// Sends TERM and waits; KILL when that does not help.
async fn stop(mut child: Child) -> anyhow::Result<()> {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid {
        // A process that has ended in between is what was asked for.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    if timeout(FAREWELL, child.wait()).await.is_err() {
        child.kill().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
