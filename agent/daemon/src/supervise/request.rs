//! The request for a restart: one word in a file, in which root believes nothing but that word.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use nix::fcntl::OFlag;
use tracing::{info, warn};

use super::Agent;

/// Where the agent puts it, below its runtime directory.
pub const RESTART_REQUEST: &str = "restart/request";

/// Longer than any word.
const LONGEST: u64 = 64;

/// Asks for a restart of `agent`, in one step.
pub(super) fn put(path: &Path, agent: Agent) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    // Not beside the request: whoever watches that directory would wake for half a file.
    let draft = directory.with_extension("draft");
    fs::write(&draft, agent.word())?;
    fs::rename(draft, path)
}

/// Root's side: restarts the agent that the request at `path` names, if it names one. `systemctl` restarts a unit.
pub fn serve(path: &Path, systemctl: &Path) -> anyhow::Result<()> {
    let Some(agent) = take(path)? else {
        info!("nobody is to be restarted");
        return Ok(());
    };
    for unit in agent.units() {
        let exists = Command::new(systemctl).args(["cat", "--quiet", unit]).output().context("asking systemctl")?;
        if !exists.status.success() {
            continue;
        }
        let status = Command::new(systemctl).args(["restart", unit]).status().context("asking systemctl")?;
        if !status.success() {
            bail!("`systemctl restart {unit}` ended with {status}");
        }
        warn!(unit, "restarted, because it was stuck");
        return Ok(());
    }
    bail!("none of {} exists here", agent.units().join(", "))
}

/// Takes the request away and reads it; no link is followed. `None`: there is none.
fn take(path: &Path) -> anyhow::Result<Option<Agent>> {
    let shown = path.display();
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.with_context(|| format!("opening the request `{shown}`"))?,
    };
    if !file.metadata().is_ok_and(|facts| facts.is_file()) {
        bail!("the request `{shown}` is no file");
    }
    let mut word = String::new();
    file.take(LONGEST).read_to_string(&mut word).with_context(|| format!("reading the request `{shown}`"))?;
    fs::remove_file(path).with_context(|| format!("removing the request `{shown}`"))?;
    match Agent::ALL.into_iter().find(|agent| agent.word() == word.trim()) {
        Some(agent) => Ok(Some(agent)),
        None => bail!("the request `{shown}` names no agent that may be restarted"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A `systemctl` that knows one unit, and writes down what it is asked.
    fn systemctl(directory: &Path) -> std::path::PathBuf {
        let path = directory.join("systemctl");
        let log = directory.join("log");
        let text = format!(
            "#!/bin/sh\n[ \"$1\" = cat ] && {{ [ \"$3\" = codedeploy-agent.service ]; exit; }}\necho \"$@\" >>'{}'\n",
            log.display()
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn root_restarts_what_is_asked_for_once() {
        let place = tempfile::tempdir().unwrap();
        let (request, systemctl) = (place.path().join("restart/request"), systemctl(place.path()));
        serve(&request, &systemctl).unwrap();
        put(&request, Agent::CodeDeploy).unwrap();
        serve(&request, &systemctl).unwrap();
        serve(&request, &systemctl).unwrap();
        assert_eq!(fs::read_to_string(place.path().join("log")).unwrap(), "restart codedeploy-agent.service\n");
        put(&request, Agent::Ssm).unwrap();
        let error = serve(&request, &systemctl).unwrap_err().to_string();
        assert!(error.contains("amazon-ssm-agent.service"), "{error}");
    }

    #[test]
    fn root_believes_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let (request, systemctl) = (place.path().join("restart/request"), systemctl(place.path()));
        fs::create_dir_all(request.parent().unwrap()).unwrap();
        fs::write(&request, "sshd.service").unwrap();
        assert!(serve(&request, &systemctl).unwrap_err().to_string().contains("names no agent"));
        assert!(!request.exists(), "it is not read again and again");
        std::os::unix::fs::symlink("/etc/passwd", &request).unwrap();
        assert!(serve(&request, &systemctl).unwrap_err().to_string().contains("opening the request"));
        assert!(!place.path().join("log").exists());
    }
}
