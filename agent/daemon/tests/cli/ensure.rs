//! `pitcrew ensure`, with a package manager and a systemctl of the test's own on the PATH. That Systems Manager is asked
//! is seen where the world is: `tests/doctor`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use crate::{outcome, pitcrew};

/// Programs that write down how they are called; `failing` ends with 1.
fn host(programs: &[&str], failing: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let calls = directory.path().join("calls");
    for program in programs {
        let status = i32::from(*program == failing);
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho {program} \"$@\" >>{}\nexit {status}\n",
            calls.display()
        );
        let path = directory.path().join(program);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }
    directory
}

fn ensure(arguments: &[&str], host: &TempDir) -> (i32, String, String, Vec<String>) {
    let mut command = pitcrew(&[&["ensure"], arguments].concat());
    let (status, stdout, stderr) = outcome(command.env("PATH", host.path()));
    let calls = fs::read_to_string(host.path().join("calls")).unwrap_or_default();
    (status, stdout, stderr, calls.lines().map(str::to_owned).collect())
}

#[test]
fn the_hosts_own_package_manager_installs_and_systemd_starts() {
    for (agent, package) in [("codedeploy", "codedeploy-agent"), ("ssm", "amazon-ssm-agent")] {
        for (manager, words) in [
            ("dnf", "install -y"),
            ("yum", "install -y"),
            ("apt-get", "install -y"),
            ("zypper", "--non-interactive install"),
        ] {
            let (status, stdout, stderr, calls) = ensure(&[agent], &host(&[manager, "systemctl"], ""));
            assert_eq!(status, 0, "{stderr}");
            assert_eq!(calls, [format!("{manager} {words} {package}"), format!("systemctl enable --now {package}")]);
            let said = [format!("installing {package} with {manager}"), format!("{package} is installed and runs")];
            assert_eq!(stdout.lines().collect::<Vec<_>>(), said);
        }
    }
}

#[test]
fn what_cannot_be_installed_is_said_with_what_to_do() {
    for (programs, failing, expected) in [
        (&["systemctl"][..], "", "this host has no package manager that is known here"),
        (&["dnf", "systemctl"], "dnf", "`pitcrew-bootstrap` fetches it from the region's bucket"),
        (&["dnf", "systemctl"], "systemctl", "`systemctl enable --now codedeploy-agent` ended with exit status: 1"),
    ] {
        let (status, _, stderr, _) = ensure(&["codedeploy"], &host(programs, failing));
        assert_eq!((status, stderr.contains(expected)), (1, true), "{stderr}");
    }
}

#[test]
fn options_that_do_not_go_together_are_refused_before_anything_is_done() {
    for (arguments, expected) in [
        (&["codedeploy", "--instance", "i-1"][..], "--instance, --tag and --schedule go with --via ssm"),
        (&["ssm", "--via", "ssm"], "Systems Manager cannot install its own agent: use --via package"),
        (&["codedeploy", "--via", "ssm", "--tag", "deploy=web"], "--schedule"),
        (&["codedeploy", "--via", "ssm", "--schedule", "rate(1 day)", "--tag", "web"], "give a tag as KEY=VALUE"),
        (&["codedeploy", "--via", "ssm", "--schedule", "daily"], "rate("),
        (&["cloudwatch"], "[possible values: ssm, codedeploy]"),
    ] {
        let (status, _, stderr, calls) = ensure(arguments, &host(&["dnf", "systemctl"], ""));
        assert_eq!((status, calls.len()), (64, 0), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
}
