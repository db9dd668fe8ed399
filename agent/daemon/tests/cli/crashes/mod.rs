//! The agent's memory under every crash: killed at each system call of a write, on disks that are full or read-only,
//! and before documents that nobody wrote like that.

mod disks;
mod documents;
mod killed;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::run::{Manager, Started, agent, metadata_service};
use crate::stand_in::Place;
use crate::{outcome, pitcrew};

/// A host with a state directory that outlives its agents.
pub(crate) struct Host {
    pub(crate) place: Place,
    metadata: String,
}

impl Host {
    pub(crate) fn new() -> Self {
        let host = Self { place: Place::new(), metadata: metadata_service() };
        std::fs::create_dir_all(host.state()).unwrap();
        host
    }

    /// Adds a configuration file for the agents that start from now on.
    pub(crate) fn configure(&self, text: &str) {
        let directory = self.place.socket().with_file_name("config.d");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("60-test.toml"), text).unwrap();
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.place.socket().with_file_name("state")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.place.socket().with_file_name("agent.log")).unwrap_or_default()
    }

    /// Starts the agent, below `wrapper` where there is one.
    pub(crate) fn start(&self, wrapper: &[String]) -> (Started, Manager) {
        let notify = self.place.socket().with_file_name("notify");
        let _ = std::fs::remove_file(&notify);
        let (manager, notify) = Manager::at(&self.place);
        let mut command = below(wrapper, &agent(&self.place, &self.metadata, "state"));
        let log = std::fs::File::create(self.place.socket().with_file_name("agent.log")).unwrap();
        command.env("NOTIFY_SOCKET", notify).stderr(log).stdout(Stdio::null());
        (Started(command.spawn().unwrap()), manager)
    }

    /// Starts the agent and waits until it is ready.
    pub(crate) fn ready(&self, wrapper: &[String]) -> Started {
        let (started, manager) = self.start(wrapper);
        manager.hears("READY=1");
        started
    }

    /// `pitcrew out`, for as long as it tells anything; says whether it was taken down before the agent died.
    pub(crate) fn out(&self) -> bool {
        let mut command = pitcrew(&["out", "--wait=1s", "--wait-for-agent=2s", &self.place.option()]);
        let (_, stdout, stderr) = outcome(&mut command);
        let said = format!("{stdout}{stderr}");
        ["looking for target groups", "still stands", "not there yet"].iter().any(|sentence| said.contains(sentence))
    }

    pub(crate) fn status(&self) -> Value {
        let (status, stdout, stderr) = outcome(&mut pitcrew(&["status", "--json", &self.place.option()]));
        assert_eq!(status, 0, "{stderr}\n{}", self.log());
        serde_json::from_str(&stdout).unwrap()
    }

    pub(crate) fn is_held(&self) -> bool {
        let status = self.status();
        [status.pointer("/view/state"), status.get("state")].into_iter().flatten().any(|state| state == "held")
    }
}

/// `command` as the last words of a longer one.
fn below(wrapper: &[String], command: &Command) -> Command {
    let Some((program, words)) = wrapper.split_first() else {
        let mut plain = Command::new(command.get_program());
        plain.env_clear().args(command.get_args());
        plain.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        return plain;
    };
    let mut wrapped = Command::new(program);
    wrapped.args(words).arg(command.get_program()).args(command.get_args());
    wrapped.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    wrapped.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    wrapped
}

/// Whether this machine has a program that a test cannot do without: a failure under `CI=true`, else it is passed over.
fn has(test: &str, program: &str, package: &str) -> bool {
    let found = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|path| Path::new(path).join(program).is_file());
    let sentence = format!("{test} needs {program} (apt-get install {package})");
    needs(found, &sentence)
}

fn needs(met: bool, sentence: &str) -> bool {
    assert!(met || std::env::var("CI").as_deref() != Ok("true"), "{sentence}");
    if !met {
        let _ = writeln!(std::io::stderr(), "SKIPPED: {sentence}");
    }
    met
}

/// A moment for what comes at once.
pub(crate) fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..300 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("not so within 6 s: {what}");
}
