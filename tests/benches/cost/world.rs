//! The stand-in world of `pitcrew rehearse --hold`, and agents in it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::process::Usage;
use crate::relay::Relay;
use crate::stopwatch::Call;

/// Should nobody end it.
const LONGEST: &str = "3600";

/// A world of three instances without agents; ends when dropped.
pub(crate) struct World {
    process: Child,
    environment: BTreeMap<String, String>,
    aws: Relay,
}

impl World {
    pub(crate) fn up(pitcrew: &Path) -> Self {
        let mut process = Command::new(pitcrew)
            .args(["rehearse", "--hold", "--hold-seconds", LONGEST, "--no-agent", "--instances", "2"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut environment = BTreeMap::new();
        for line in BufReader::new(process.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some((name, value)) = line.strip_prefix("export ").and_then(|line| line.split_once('=')) else {
                continue;
            };
            environment.insert(name.to_owned(), value.trim_matches('\'').to_owned());
            if name == "REHEARSAL_INSTANCE_3_APPLICATION" {
                break;
            }
        }
        let aws = environment.get("AWS_ENDPOINT_URL").unwrap_or_else(|| panic!("the world did not come up"));
        let aws = Relay::to(aws);
        Self { process, environment, aws }
    }

    /// Requests to AWS so far that came from agents.
    pub(crate) fn requests(&self) -> usize {
        self.aws.requests()
    }

    /// What the world tells clients about itself.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.environment.get(name).unwrap_or_else(|| panic!("the world does not tell its {name}"))
    }

    /// What every AWS client needs.
    pub(crate) fn aws(&self) -> impl Iterator<Item = (&str, &str)> {
        let variables = self.environment.iter().filter(|(name, _)| name.starts_with("AWS_"));
        variables.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(crate) fn metadata(&self, instance: u8) -> &str {
        self.value(&format!("REHEARSAL_INSTANCE_{instance}_METADATA"))
    }

    pub(crate) fn application(&self, instance: u8) -> &str {
        self.value(&format!("REHEARSAL_INSTANCE_{instance}_APPLICATION"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // As ctrl-c does: it ends its applications and removes its files.
        let _ = kill(Pid::from_raw(self.process.id().try_into().unwrap_or(i32::MAX)), Signal::SIGINT);
        let _ = self.process.wait();
    }
}

/// A running agent; killed when dropped.
pub(crate) struct Agent {
    process: Child,
    pitcrew: PathBuf,
    home: TempDir,
}

impl Agent {
    /// Starts an agent with the defaults and `configuration`, and waits until it answers. `metadata` says which instance
    /// it is on.
    pub(crate) fn start(pitcrew: &Path, world: &World, metadata: &str, configuration: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let [config, state] = ["config.d", "state"].map(|name| home.path().join(name));
        fs::create_dir(&config).unwrap();
        fs::create_dir(&state).unwrap();
        fs::write(config.join("50-cost.toml"), format!("traffic.owner = 'pitcrew'\n{configuration}")).unwrap();
        let process = Command::new(pitcrew)
            .env_clear()
            .arg("run")
            .arg("--config-dir")
            .arg(config)
            .arg("--state-dir")
            .arg(state)
            .arg("--socket")
            .arg(socket(&home))
            .env("AWS_ENDPOINT_URL", &world.aws.url)
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(home.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let agent = Self { process, pitcrew: pitcrew.to_owned(), home };
        // Waits for the socket, which the agent opens first.
        agent.calls(&agent.call(&["in"]));
        agent
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.process.id())
    }

    /// A call of this agent by the command line.
    pub(crate) fn call(&self, arguments: &[&str]) -> Call {
        Call::new(&self.pitcrew).args(arguments).env("PITCREW_SOCKET", socket(&self.home).display().to_string())
    }

    /// A hook, as CodeDeploy's host agent calls it.
    pub(crate) fn hook(&self, event: &str) -> Call {
        self.call(&["hook"])
            .env("LIFECYCLE_EVENT", event)
            .env("DEPLOYMENT_ID", "d-COST")
            .env("APPLICATION_NAME", "sample")
            .env("DEPLOYMENT_GROUP_NAME", "sample-fleet")
    }

    /// Makes a call that is not measured.
    pub(crate) fn calls(&self, call: &Call) {
        let output = call.command().output().unwrap();
        let log = || fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
        assert!(output.status.success(), "{call:?}: {output:?}\n{}", log());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn socket(home: &TempDir) -> PathBuf {
    home.path().join("pitcrew.sock")
}
