//! The steps when all is well, done again, cut short, and on a disk that has seen another instance.

use std::fs;

use pitcrew_plan::journal::Outcome;
use pitcrew_tests::aws::{INSTANCE, REGION, Role};

use super::host::{Host, TOOLS};
use super::payload;

const ALL: [&str; 9] =
    ["facts", "role", "pitcrew", "ssm", "codedeploy", "ssm-online", "codedeploy-running", "tags", "end"];

#[test]
fn everything_is_installed_and_the_tags_come_last_in_one_call() {
    let host = Host::new();
    let run = host.run();
    run.assert_ended_well();
    assert!(run.steps.iter().map(|(name, _)| name.as_str()).eq(ALL), "{run:?}");
    for step in ["pitcrew", "ssm", "codedeploy", "tags", "end"] {
        assert_eq!(run.step(step), Some(Outcome::Done), "{run:?}");
    }
    assert!(host.path("usr/bin/pitcrew").exists());
    assert!(host.path("active/amazon-ssm-agent.service").exists());
    assert!(host.path("active/codedeploy-agent.service").exists());
    assert_eq!(host.read("config-at-install"), "---\n:max_revisions: 2\n");
    assert_eq!(host.read("region-at-install").trim(), REGION);

    let state = host.world.state();
    assert!(state.heard.last().unwrap().is_to_ec2());
    assert_eq!(state.tagged.len(), 1);
    let tags = &state.tagged[0];
    for (key, value) in [
        ("Action", "CreateTags"),
        ("ResourceId.1", INSTANCE),
        ("Tag.1.Key", "pitcrew:ready"),
        ("Tag.1.Value", "true"),
        ("Tag.2.Key", "Name"),
        ("Tag.2.Value", "a name"),
    ] {
        assert_eq!(tags.get(key).map(String::as_str), Some(value), "{tags:?}");
    }
}

#[test]
fn the_console_tells_what_the_journal_tells() {
    let host = Host::new();
    let run = host.run();
    let console = String::from_utf8(run.output.stdout).unwrap();
    let lines: Vec<_> = console.lines().map(|line| line.strip_prefix("pitcrew-bootstrap: ").unwrap()).collect();
    assert_eq!(lines, host.journal().lines().collect::<Vec<_>>());
    assert!(lines[0].starts_with(&format!("run {INSTANCE} ")));
}

#[test]
fn no_secret_is_written_down_or_passed_as_an_argument() {
    for tool in TOOLS {
        let host = Host::new();
        host.with_only(tool);
        let run = host.run();
        run.assert_ended_well();
        assert!(host.calls().iter().any(|call| call.starts_with(tool)), "{tool} was not used");
        let seen = host.written() + &host.read("calls") + &String::from_utf8_lossy(&run.output.stdout);
        let Role { secret, token, .. } = Role::default();
        assert!(!seen.contains(&secret) && !seen.contains(&token), "{tool}: {seen}");
    }
}

#[test]
fn a_second_run_finds_everything_done_and_tags_nothing() {
    let host = Host::new();
    host.run().assert_ended_well();
    let run = host.run();
    run.assert_ended_well();
    for step in ALL.into_iter().skip(1) {
        assert_eq!(run.step(step), Some(Outcome::Already), "{step}: {run:?}");
    }
    assert_eq!(host.world.calls_to_ec2().len(), 1);
    assert_eq!(host.world.asked(".deb"), 2, "nothing is downloaded again");
}

#[test]
fn killed_at_any_command_and_run_again_it_ends_the_same() {
    let whole = Host::new();
    whole.run().assert_ended_well();
    let commands = whole.calls().len();
    assert!(commands > 12, "{:?}", whole.calls());
    for kill_at in 1..=commands {
        let host = Host::new();
        host.write("kill-at", &kill_at.to_string());
        let killed = host.run();
        assert_eq!(killed.output.status.code(), None, "killed at {kill_at}: {killed:?}");
        assert_eq!(killed.step("end"), None, "killed at {kill_at}: {killed:?}");
        fs::remove_file(host.path("kill-at")).unwrap();
        host.run().assert_ended_well();
        for path in ["usr/bin/pitcrew", "active/amazon-ssm-agent.service", "active/codedeploy-agent.service"] {
            assert!(host.path(path).exists(), "killed at {kill_at}: {path}");
        }
        assert_eq!(host.read("config-at-install"), "---\n:max_revisions: 2\n", "killed at {kill_at}");
        let tagged = host.world.state().tagged.clone();
        // Killed after EC2 has answered and before that is known here, the same tags are set once more.
        assert!((1..=2).contains(&tagged.len()), "killed at {kill_at}: {tagged:?}");
        assert!(tagged.iter().all(|form| *form == tagged[0]), "killed at {kill_at}: {tagged:?}");
    }
}

#[test]
fn another_instance_on_the_same_disk_registers_and_tags_anew() {
    let host = Host::new();
    host.run().assert_ended_well();
    let other = "i-0fedcba9876543210";
    host.write("instance", other);
    host.world.state().instance = other.to_owned();
    let run = host.run();
    run.assert_ended_well();
    assert_eq!(run.step("pitcrew"), Some(Outcome::Already));
    assert_eq!(run.step("ssm"), Some(Outcome::Done), "the agent is started anew: {run:?}");
    assert_eq!(run.step("tags"), Some(Outcome::Done));
    let state = host.world.state();
    assert_eq!(state.tagged.len(), 2);
    assert_eq!(state.tagged[1].get("ResourceId.1").map(String::as_str), Some(other));
}

#[test]
fn another_version_of_pitcrew_is_installed_over_the_first() {
    let mut host = Host::new();
    host.run().assert_ended_well();
    let newer = "true # newer\n";
    host.put("/pitcrew.deb", newer);
    let services = host.services();
    host.ask(&format!("package {} deb {services}/pitcrew.deb {}", payload::arch(), super::host::sha256(newer)));
    let run = host.run();
    run.assert_ended_well();
    assert_eq!(run.step("pitcrew"), Some(Outcome::Done));
    assert_eq!(run.step("ssm"), Some(Outcome::Already));
}

#[test]
fn changed_configuration_restarts_the_codedeploy_agent() {
    let mut host = Host::new();
    host.run().assert_ended_well();
    host.request.push("config :verbose: true".to_owned());
    let before = host.calls().len();
    let run = host.run();
    assert_eq!(run.step("codedeploy"), Some(Outcome::Done), "{run:?}");
    assert!(host.calls()[before..].contains(&"systemctl restart codedeploy-agent".to_owned()));
    assert!(host.read("etc/codedeploy-agent/conf/codedeployagent.yml").ends_with(":verbose: true\n"));
}

#[test]
fn the_request_is_found_behind_the_executable() {
    let host = Host::new();
    let bytes = fs::read(payload::elf()).unwrap();
    let field = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    // The first segment is the image: offset 0, so its size in the file is where it ends.
    let image = field(64 + 32) as usize;
    let whole = [&bytes[..image], host.request().as_bytes()].concat();
    let path = host.path("bootstrap");
    fs::write(&path, whole).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    host.run_file(&path, None).assert_ended_well();
}

#[test]
fn only_what_is_asked_for_is_done() {
    let mut host = Host::new();
    for key in ["package", "ssm", "tag", "config", "pin"] {
        host.ask_not(key);
    }
    host.ask("codedeploy ensure");
    host.write("units/codedeploy-agent.service", "");
    let run = host.run();
    run.assert_ended_well();
    assert!(run.steps.iter().map(|(name, _)| name.as_str()).eq([
        "facts",
        "role",
        "codedeploy",
        "codedeploy-running",
        "end"
    ]));
    assert_eq!(host.world.calls_to_ec2().len(), 0);
    assert_eq!(host.world.asked("/aws-codedeploy"), 0);
}
