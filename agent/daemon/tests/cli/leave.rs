//! Leaving with the real agent: by `pitcrew leave`, and because the service manager stops it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::run::{Manager, Started, agent, metadata_service};
use crate::stand_in::Place;
use crate::{outcome, pitcrew};

/// An agent that runs `drain.d` itself, where AWS does not answer; and what its script writes.
fn started(place: &Place, then: &str) -> (Started, PathBuf) {
    let beside = |name: &str| place.socket().with_file_name(name);
    let (directory, log) = (beside("drain.d"), beside("log"));
    fs::create_dir(&directory).unwrap();
    let script = directory.join("10-note");
    let shown = log.display();
    let text =
        format!("#!/bin/sh\necho $$ > {shown}.pid\necho $PITCREW_REASON $PITCREW_INSTANCE_ID >> {shown}\n{then}\n");
    fs::write(&script, text).unwrap();
    fs::set_permissions(script, Permissions::from_mode(0o755)).unwrap();
    let (manager, notify) = Manager::at(place);
    let mut command = agent(place, &metadata_service(), "state");
    let text = format!(
        "[leave]\nscripts = {directory:?}\nrun_scripts = \"direct\"\nremove_tags = [\"deploy\"]\nstop_budget = \"4s\"\n"
    );
    fs::write(beside("config.d/stay.toml"), text).unwrap();
    let started = Started(
        command.env("NOTIFY_SOCKET", notify).env("PATH", "/usr/bin:/bin").stderr(Stdio::null()).spawn().unwrap(),
    );
    manager.hears("READY=1");
    (started, log)
}

#[test]
fn a_stopped_agent_leaves_within_its_budget() {
    let place = Place::new();
    let (mut started, log) = started(&place, "");
    let began = began();
    kill(Pid::from_raw(started.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(started.0.wait().unwrap().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(8), "took {:?}", began.elapsed());
    assert_eq!(fs::read_to_string(log).unwrap(), "shutdown i-0abc\n");
}

#[test]
fn an_operator_sees_what_leaving_would_do_and_then_leaves() {
    let place = Place::new();
    let (_started, log) = started(&place, "");
    let (status, stdout, stderr) = outcome(&mut pitcrew(&["leave", "--dry-run", "--in", "4s", &place.option()]));
    assert_eq!((status, stderr.as_str()), (0, ""));
    assert!(stdout.contains("leaving would take at most 4 s") && stdout.contains("drain.d: 10-note"), "{stdout}");
    assert!(stdout.contains("tags removed: deploy"), "{stdout}");
    assert!(!log.exists(), "nothing was done");

    let (status, stdout, _) = outcome(&mut pitcrew(&["leave", "--in", "4s", &place.option()]));
    let last = stdout.lines().last().unwrap();
    assert_eq!(status, 1, "AWS does not answer: {stdout}");
    assert!(last.starts_with("left, but the drain was cut short"), "{stdout}");
    assert_eq!(fs::read_to_string(&log).unwrap(), "operator i-0abc\n");

    let (status, stdout, _) = outcome(&mut pitcrew(&["in", &place.option()]));
    assert_eq!(status, 77, "{stdout}");
}

#[test]
fn a_later_notice_that_leaves_no_time_ends_the_scripts_at_once() {
    let place = Place::new();
    let (_started, log) = started(&place, "sleep 600");
    let mut first = pitcrew(&["leave", "--in", "8s", &place.option()]).stdout(Stdio::piped()).spawn().unwrap();
    while !log.exists() {
        assert!(first.try_wait().unwrap().is_none(), "left without its script");
        std::thread::sleep(Duration::from_millis(20));
    }
    let began = began();
    let (status, stdout, _) = outcome(&mut pitcrew(&["leave", "--in", "500ms", &place.option()]));
    assert_eq!(status, 1);
    assert!(stdout.contains("no time was left for all of drain.d"), "{stdout}");
    assert!(began.elapsed() < Duration::from_millis(1500), "took {:?}", began.elapsed());
    assert_eq!(first.wait().unwrap().code(), Some(1));
    let pid = fs::read_to_string(format!("{}.pid", log.display())).unwrap();
    let stat = format!("/proc/{}/stat", pid.trim());
    while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(began.elapsed() < Duration::from_secs(10), "the script lives on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Real processes take real time.
#[allow(clippy::disallowed_methods, reason = "measures the program from outside")]
fn began() -> Instant {
    Instant::now()
}
