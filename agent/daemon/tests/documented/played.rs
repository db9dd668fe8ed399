//! The examples of `--help`, run as they stand where nothing but this machine is needed.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::examples::examples;
use crate::pages::root;

/// How an example is shown to do what it says.
enum Shown {
    /// It is run, and ends so.
    Ends(i32),
    /// The same, with something in it put smaller or under virtual time.
    Instead(&'static str, &'static str, i32),
    /// It needs an agent, AWS or root, which others give it: this test.
    By(&'static str),
}
use Shown::{By, Ends, Instead};

/// By how an example begins; the first that fits counts.
const SHOWN: &[(&str, Shown)] = &[
    ("pitcrew run ", By("agent/daemon/tests/cli/run.rs")),
    ("exec pitcrew hook", By("agent/daemon/tests/cli/hook.rs")),
    ("pitcrew hook --event", By("agent/daemon/tests/cli/hook.rs")),
    ("pitcrew status", By("agent/daemon/tests/cli/status.rs")),
    ("pitcrew history", By("agent/daemon/tests/cli/reload.rs")),
    ("pitcrew out", By("agent/daemon/tests/cli/hook.rs")),
    ("pitcrew in", By("agent/daemon/tests/cli/hook.rs")),
    ("pitcrew leave", By("agent/daemon/tests/cli/leave.rs")),
    ("sudo pitcrew doctor", By("agent/daemon/tests/doctor")),
    ("pitcrew doctor", By("agent/daemon/tests/doctor")),
    ("sudo pitcrew ensure", By("agent/daemon/tests/doctor/ensure.rs")),
    ("pitcrew ensure", By("agent/daemon/tests/cli/ensure.rs")),
    ("pitcrew user-data", By("bootstrap/render/tests/commands.rs")),
    ("pitcrew bootstrap plan", By("bootstrap/render/tests/commands.rs")),
    ("systemctl stop pitcrew && pitcrew ami-clean", By("agent/daemon/src/cli/ami_clean.rs")),
    ("pitcrew rehearse --hold", By("tests/tests/packages/world.rs")),
    ("pitcrew config show", Ends(0)),
    ("pitcrew config check", Instead("/usr/lib/pitcrew/config.d", "shipped", 0)),
    ("pitcrew lint", Ends(2)),
    ("terraform show", Ends(2)),
    // The sample leaves traffic to Pitcrew.
    ("pitcrew appspec check ./bundle --owner codedeploy", Ends(2)),
    ("pitcrew appspec", Ends(0)),
    ("pitcrew rehearse --simulated --runs 1000", Instead("1000", "4", 0)),
    ("pitcrew rehearse --chaos", By(".ci/prove")),
    ("pitcrew rehearse --interrupt-at 5 --simulated --runs 100", Instead("100", "4", 0)),
    // Requests are lost.
    ("pitcrew rehearse --without-hooks", Instead("rehearse", "rehearse --simulated", 1)),
    ("pitcrew rehearse", Instead("rehearse", "rehearse --simulated", 0)),
];

#[test]
fn examples_of_help_do_what_they_say() {
    let place = place();
    for example in examples() {
        let shown = SHOWN.iter().find(|(start, _)| example.starts_with(start));
        let (_, shown) = shown.unwrap_or_else(|| panic!("`{example}`: say above how it is shown"));
        // What it is for stands beside it.
        let command = example.split("  ").next().unwrap();
        let (command, end) = match shown {
            By(_) => continue,
            Ends(end) => (command.to_owned(), *end),
            Instead(what, by, end) => (command.replacen(what, by, 1), *end),
        };
        let output = shell(&command, place.path());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(end), "{command}: {said}\n{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn what_is_shown_elsewhere_is_there() {
    for (example, shown) in SHOWN {
        if let By(elsewhere) = shown {
            assert!(root().join(elsewhere).exists(), "{example}: there is no {elsewhere}");
        }
    }
}

/// A folder with all that the examples name, and programs that stand for others.
fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    for (name, shipped) in [("shipped", "packaging/config.d"), ("config.d", "packaging/config.d")] {
        symlink(root().join(shipped).canonicalize().unwrap(), at(name)).unwrap();
    }
    fs::copy(root().join("packaging/elastigroup/sample.json"), at("group.json")).unwrap();
    let sample = root().join("packaging/appspec/sample");
    for bundle in ["bundle", "my-app", "."] {
        let copied = Command::new("cp").arg("-r").arg(sample.join(".")).arg(at(bundle)).status().unwrap();
        assert!(copied.success());
    }
    fs::create_dir(at("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_pitcrew"), at("bin/pitcrew")).unwrap();
    // A plan is JSON, too; what is in it is for the tests of `lint`.
    program(&at("bin/terraform"), "#!/bin/sh\nexec cat group.json\n");
    if !Command::new("jq").arg("--version").output().is_ok_and(|output| output.status.success()) {
        program(&at("bin/jq"), "#!/bin/sh\nexec cat\n");
    }
    place
}

fn program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn shell(command: &str, place: &Path) -> Output {
    let path = format!("{}:{}", place.join("bin").display(), std::env::var("PATH").unwrap());
    Command::new("sh").args(["-c", command]).env("PATH", path).current_dir(place).output().unwrap()
}
