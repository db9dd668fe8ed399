//! `drain.d` with real processes, of every nasty kind.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod direct;
mod unit;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pitcrew::doors::{Clock, SystemClock};
use pitcrew::effect::scripts::{Order, Runner, Trust};
use pitcrew_core::notice::NoticeKind;
use pitcrew_core::wire::{Event, Failure};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// A directory of scripts, and a place where they write.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.directory()).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn directory(&self) -> PathBuf {
        self.path("drain.d")
    }

    /// A shell script in whose text `@` is the place.
    fn script(&self, name: &str, text: &str) -> &Self {
        self.file(name, &format!("#!/bin/sh\n{}\n", text.replace('@', &self.0.path().display().to_string())), 0o755)
    }

    fn file(&self, name: &str, text: &str, mode: u32) -> &Self {
        let path = self.directory().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        self
    }

    /// What a script wrote there; empty before.
    fn written(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn runner(&self) -> Runner {
        Runner { directory: self.directory(), trust: Trust::Anybody, clock: Arc::new(SystemClock) }
    }
}

fn order(within: Duration) -> Order {
    Order {
        why: NoticeKind::SpotTerminate,
        until: SystemClock.now().at.after(within),
        ended: Vec::new(),
        instance: "i-0abc".into(),
        region: "eu-central-1".to_owned(),
    }
}

/// How each script ended, in order; and the end of all.
type Outcome = (Vec<(String, Result<String, String>)>, Result<(), Failure>);

fn outcome(events: Vec<Event>) -> Outcome {
    let mut ended = Vec::new();
    let mut all = None;
    for event in events {
        match event {
            Event::DrainScriptEnded { name, how } if all.is_none() => ended.push((name, how)),
            Event::DrainScriptsEnded { answer } if all.is_none() => all = Some(answer),
            other => panic!("{other:?} after the end, or from nowhere"),
        }
    }
    (ended, all.unwrap())
}

fn assert_ended(ended: &(String, Result<String, String>), name: &str, how: Result<&str, &str>) {
    let same = match (&ended.1, how) {
        (Ok(said), Ok(part)) | (Err(said), Err(part)) => said.contains(part),
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
    };
    assert!(ended.0 == name && same, "{ended:?} is not {name} {how:?}");
    let (Ok(said) | Err(said)) = &ended.1;
    assert!(!said.contains('\n'), "one line: {said}");
}

/// Waits until the process whose number a script wrote is no more, or no more than a number.
async fn assert_dies(pid: &str) {
    let stat = PathBuf::from(format!("/proc/{}/stat", pid.trim()));
    let began = Instant::now();
    assert!(!pid.trim().is_empty(), "a script wrote its number");
    while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(began.elapsed() < Duration::from_secs(10), "process {pid} lives on");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn wait_for(path: &Path) {
    let began = Instant::now();
    while !path.exists() {
        assert!(began.elapsed() < Duration::from_secs(20), "{} never came", path.display());
        sleep(Duration::from_millis(10)).await;
    }
}
