//! SIGHUP, and what an agent remembers.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::run::{Manager, Started, agent, metadata_service};
use crate::stand_in::Place;
use crate::{outcome, pitcrew};

/// The lines of an agent's log, as they come.
struct Log(mpsc::Receiver<String>);

impl Log {
    fn hears(&self, words: &str) {
        loop {
            let line = self.0.recv_timeout(Duration::from_secs(60));
            if line.unwrap_or_else(|_| panic!("never logged: {words}")).contains(words) {
                return;
            }
        }
    }
}

#[test]
fn a_hangup_reads_the_configuration_again_and_a_bad_one_changes_nothing() {
    let place = Place::new();
    let (manager, notify) = Manager::at(&place);
    let metadata = metadata_service();
    let mut command = agent(&place, &metadata, "state");
    let config = place.socket().with_file_name("config.d").join("90-more.toml");
    let mut started = Started(command.env("NOTIFY_SOCKET", notify).stderr(Stdio::piped()).spawn().unwrap());
    let (sender, receiver) = mpsc::channel();
    let lines = BufReader::new(started.0.stderr.take().unwrap()).lines();
    thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let log = Log(receiver);
    let hang_up = || kill(Pid::from_raw(started.0.id().try_into().unwrap()), Signal::SIGHUP).unwrap();
    manager.hears("READY=1");

    std::fs::write(&config, "log.level = \"debug\"").unwrap();
    hang_up();
    log.hears("nothing has changed but the log");
    manager.hears("RELOADING=1");
    manager.hears("READY=1");

    std::fs::write(&config, "log.level = \"loud\"").unwrap();
    hang_up();
    log.hears("stays as it was");
    manager.hears("READY=1");

    std::fs::write(&config, "[[health.probe]]\nname = \"disk\"\ndisk = \"/\"\nfree_percent = 1\n").unwrap();
    hang_up();
    log.hears("beginning a new run");
    manager.hears("READY=1");
    let (status, document, stderr) = outcome(&mut pitcrew(&["status", "--json", &place.option()]));
    assert_eq!(status, 0, "{stderr}");
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["probes"][0]["name"], "disk");
}

#[test]
fn history_is_told_by_the_agent_and_without_one() {
    let place = Place::new();
    let (manager, notify) = Manager::at(&place);
    let mut command = agent(&place, &metadata_service(), "state");
    let mut started = Started(command.env("NOTIFY_SOCKET", notify).stderr(Stdio::null()).spawn().unwrap());
    manager.hears("READY=1");
    let state = format!("--state-dir={}", place.socket().with_file_name("state").display());

    let (status, told, stderr) = outcome(&mut pitcrew(&["history", &place.option()]));
    assert_eq!(status, 0, "{stderr}");
    assert!(told.contains("UTC  agent ") && told.contains("UTC  starting: "), "{told}");

    kill(Pid::from_raw(started.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    started.0.wait().unwrap();
    let (status, later, stderr) = outcome(&mut pitcrew(&["history", "--json", &place.option(), &state]));
    assert_eq!(status, 0, "{stderr}");
    let records: Value = serde_json::from_str(&later).unwrap();
    assert_eq!(records[0]["what"], "agent-started");

    let (status, _, stderr) = outcome(&mut pitcrew(&["history", &place.option(), "--state-dir=/nowhere"]));
    assert_eq!(status, 69, "{stderr}");
    assert!(stderr.contains("there is no history in `/nowhere`, either: no answer from the agent"), "{stderr}");
}
