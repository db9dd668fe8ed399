//! Installs an agent of AWS by this host's own package manager, and has systemd start it.

use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::intake::host_agents::HostAgents;
use crate::supervise::Agent;

/// Package, unit and manager: the first manager that is there decides.
pub fn install(which: Agent, say: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
    let seen = HostAgents::below("/").look();
    let (package, unit, installed, running) = match which {
        Agent::Ssm => ("amazon-ssm-agent", "amazon-ssm-agent", seen.ssm.installed, seen.ssm.running),
        Agent::CodeDeploy => {
            ("codedeploy-agent", "codedeploy-agent", seen.codedeploy.installed, seen.codedeploy.running)
        }
    };
    if installed && running == Some(true) {
        say(&format!("{package} is installed and runs"));
        return Ok(());
    }
    if !installed {
        let managers: [(&str, &[&str]); 4] = [
            ("dnf", &["install", "-y"]),
            ("yum", &["install", "-y"]),
            ("apt-get", &["install", "-y"]),
            ("zypper", &["--non-interactive", "install"]),
        ];
        let there = managers.into_iter().find(|(manager, _)| Command::new(manager).arg("--version").output().is_ok());
        let (manager, words) = there.context("this host has no package manager that is known here")?;
        say(&format!("installing {package} with {manager}"));
        let status = Command::new(manager).args(words).arg(package).status().context("starting the package manager")?;
        ensure!(
            status.success(),
            "`{manager} {} {package}` ended with {status}: where no repository has it, `pitcrew-bootstrap` fetches it from \
             the region's bucket (packaging/bootstrap.example.toml)",
            words.join(" ")
        );
    }
    let status = Command::new("systemctl").args(["enable", "--now", unit]).status().context("starting systemctl")?;
    ensure!(status.success(), "`systemctl enable --now {unit}` ended with {status}");
    say(&format!("{package} is installed and runs"));
    Ok(())
}
