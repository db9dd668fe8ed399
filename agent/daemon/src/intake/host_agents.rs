//! The agents of AWS on this host: whether SSM's and CodeDeploy's run, which version, and what proves that they work.
//!
//! Everything is read from files: cgroups for what runs, the agents' own files for the rest. Nothing is started.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Units under which SSM's agent runs: from a package, and from a snap.
const SSM_UNITS: [&str; 2] = ["amazon-ssm-agent.service", "snap.amazon-ssm-agent.amazon-ssm-agent.service"];
/// The unit under which CodeDeploy's host agent runs.
const CODEDEPLOY_UNIT: &str = "codedeploy-agent.service";

/// Where SSM's agent notes under which identity it works.
const SSM_IDENTITY: &str = "var/lib/amazon/ssm/runtimeconfig/identity_config.json";
const SSM_PROGRAMS: [&str; 3] =
    ["usr/bin/amazon-ssm-agent", "snap/bin/amazon-ssm-agent.ssm-cli", "snap/amazon-ssm-agent/current/amazon-ssm-agent"];

const CODEDEPLOY_VERSION: &str = "opt/codedeploy-agent/.version";
const CODEDEPLOY_PROGRAM: &str = "opt/codedeploy-agent/bin/codedeploy-agent";
const CODEDEPLOY_LOG: &str = "var/log/aws/codedeploy-agent/codedeploy-agent.log";

/// This host's files, below `root`.
#[derive(Clone, Debug)]
pub struct HostAgents {
    root: PathBuf,
}

/// What was seen of both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// SSM's agent.
    pub ssm: SsmSeen,
    /// CodeDeploy's host agent.
    pub codedeploy: CodeDeploySeen,
}

/// What was seen of SSM's agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SsmSeen {
    /// Its program is there.
    pub installed: bool,
    /// Its unit has processes; `None`: this host does not tell.
    pub running: Option<bool>,
    /// The instance as which it has registered.
    pub registered_as: Option<String>,
    /// How long ago it last got credentials.
    pub credentials_age: Option<Duration>,
}

/// What was seen of CodeDeploy's host agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CodeDeploySeen {
    /// Its program is there.
    pub installed: bool,
    /// Its unit has processes; `None`: this host does not tell.
    pub running: Option<bool>,
    /// `1.8.1`, from its `.version`.
    pub version: Option<String>,
    /// How long ago it last wrote to its log, which it does with each poll that has failed and each command.
    pub log_age: Option<Duration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SsmIdentity {
    instance_id: String,
}

impl HostAgents {
    /// Those below `root`, which is `/` but in tests.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Looks at both.
    pub fn look(&self) -> Seen {
        let identity = self.root.join(SSM_IDENTITY);
        let registered = fs::read(&identity).ok().and_then(|text| serde_json::from_slice::<SsmIdentity>(&text).ok());
        let codedeploy_version = fs::read_to_string(self.root.join(CODEDEPLOY_VERSION)).ok();
        Seen {
            ssm: SsmSeen {
                installed: SSM_PROGRAMS.iter().any(|path| self.root.join(path).exists()),
                running: self.any_runs(&SSM_UNITS),
                registered_as: registered.map(|identity| identity.instance_id),
                credentials_age: age(&identity),
            },
            codedeploy: CodeDeploySeen {
                installed: self.root.join(CODEDEPLOY_PROGRAM).exists() || codedeploy_version.is_some(),
                running: self.any_runs(&[CODEDEPLOY_UNIT]),
                version: codedeploy_version.as_deref().and_then(version),
                log_age: age(&self.root.join(CODEDEPLOY_LOG)),
            },
        }
    }

    /// Whether one of these units has processes, by its control group; `None` where there are no control groups.
    fn any_runs(&self, units: &[&str]) -> Option<bool> {
        let slices =
            ["sys/fs/cgroup/system.slice", "sys/fs/cgroup/systemd/system.slice"].map(|path| self.root.join(path));
        let slice = slices.iter().find(|slice| slice.is_dir())?;
        Some(units.iter().any(|unit| has_processes(&slice.join(unit))))
    }
}

/// A unit that delegates keeps its processes in groups below its own.
fn has_processes(group: &Path) -> bool {
    let own = fs::read_to_string(group.join("cgroup.procs")).is_ok_and(|pids| !pids.trim().is_empty());
    own || fs::read_dir(group)
        .is_ok_and(|entries| entries.flatten().any(|entry| entry.path().is_dir() && has_processes(&entry.path())))
}

/// `1.8.1` of `agent_version: OFFICIAL_1.8.1-12_rpm`.
fn version(text: &str) -> Option<String> {
    let words = text.split(|c: char| !(c.is_ascii_digit() || c == '.'));
    let is_version = |word: &&str| word.split('.').count() == 3 && word.split('.').all(|part| !part.is_empty());
    words.into_iter().find(is_version).map(str::to_owned)
}

fn age(path: &Path) -> Option<Duration> {
    fs::metadata(path).ok()?.modified().ok()?.elapsed().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_host_without_agents_has_none() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(HostAgents::below(place.path()).look(), Seen::default());
    }

    #[test]
    fn agents_are_known_by_their_files_and_control_groups() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        put(root, "usr/bin/amazon-ssm-agent", "");
        put(root, SSM_IDENTITY, r#"{"SchemaVersion":"1.1","InstanceId":"i-1","IdentityType":"EC2"}"#);
        put(root, CODEDEPLOY_VERSION, "agent_version: OFFICIAL_1.8.1-12_rpm\n");
        put(root, CODEDEPLOY_LOG, "polling\n");
        put(root, "sys/fs/cgroup/system.slice/amazon-ssm-agent.service/cgroup.procs", "");
        put(root, "sys/fs/cgroup/system.slice/codedeploy-agent.service/main/cgroup.procs", "612\n");
        let Seen { ssm, codedeploy } = HostAgents::below(root).look();
        assert!(ssm.installed && ssm.running == Some(false) && ssm.registered_as.as_deref() == Some("i-1"));
        assert!(codedeploy.installed && codedeploy.running == Some(true));
        assert_eq!(codedeploy.version.as_deref(), Some("1.8.1"));
        assert!(codedeploy.log_age.unwrap() < Duration::from_secs(60));
    }

    #[test]
    fn a_version_is_found_however_it_is_wrapped() {
        assert_eq!(version("agent_version: OFFICIAL_1.7.0-92_deb").as_deref(), Some("1.7.0"));
        assert_eq!(version("2.0.1\n").as_deref(), Some("2.0.1"));
        assert_eq!(version("unknown"), None);
    }
}
