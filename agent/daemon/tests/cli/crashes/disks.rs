//! Disks that do not take what is written.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Host, needs, soon};
use crate::run::Started;

/// Changes the mounts of a running agent.
fn remount(agent: &Started, state: &Path, how: &str) {
    let script = format!("set -e; state={}; {how}", state.display());
    let pid = agent.0.id().to_string();
    let mut command = Command::new("nsenter");
    command.args(["--target", &pid, "--mount", "sh", "-c", &script]);
    let outcome = command.output().unwrap();
    assert!(outcome.status.success(), "{how}: {}", String::from_utf8_lossy(&outcome.stderr));
}

/// The agent below a mount namespace of its own, where the state directory is what `mount` makes of it.
fn on_disk(state: &Path, prepare: &str) -> Vec<String> {
    let script = format!("set -e; state={}; {prepare}; exec \"$@\"", state.display());
    ["unshare", "--mount", "--propagation", "private", "sh", "-c", &script, "sh"].map(str::to_owned).into()
}

fn can_mount(test: &str) -> bool {
    needs(nix::unistd::geteuid().is_root(), &format!("{test} needs root, for a mount namespace"))
}

#[test]
fn on_a_full_disk_it_starts_says_so_and_takes_nothing_out() {
    if !can_mount("on_a_full_disk_it_starts_says_so_and_takes_nothing_out") {
        return;
    }
    let host = Host::new();
    // One page for the lock's directory entry, and none that is free.
    let full = "mount -t tmpfs -o size=8k none $state; : >$state/ledger.lock; \
                dd if=/dev/zero of=$state/filler bs=4096 2>/dev/null || true";
    let _agent = host.ready(&on_disk(&host.state(), full));
    host.out();
    assert!(host.log().contains("the disk is full"), "{}", host.log());
    assert!(!host.log().contains("panicked"), "{}", host.log());
    host.status();
}

#[test]
fn a_read_only_state_directory_is_refused_with_a_sentence() {
    if !can_mount("a_read_only_state_directory_is_refused_with_a_sentence") {
        return;
    }
    let host = Host::new();
    let read_only = "mount -t tmpfs none $state; mount -o remount,ro $state";
    let (mut agent, _manager) = host.start(&on_disk(&host.state(), read_only));
    let status = agent.0.wait().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(host.log().contains("the file system is read-only; remount it for writing"), "{}", host.log());
}

#[test]
fn a_disk_that_fills_up_is_said_and_written_again_once_there_is_room() {
    if !can_mount("a_disk_that_fills_up_is_said_and_written_again_once_there_is_room") {
        return;
    }
    let host = Host::new();
    let agent = host.ready(&on_disk(&host.state(), "mount -t tmpfs -o size=64k none $state"));
    // The same disk, seen from outside of its namespace.
    let inside = format!("/proc/{}/root{}", agent.0.id(), host.state().display());
    let (filler, ledger) = (Path::new(&inside).join("filler"), Path::new(&inside).join("ledger.json"));
    fs::write(&filler, [0; 64 * 1024]).unwrap_err();
    host.out();
    assert!(host.log().contains("the disk is full"), "{}", host.log());
    assert!(!fs::read_to_string(&ledger).unwrap_or_default().contains("since"), "nothing was written");
    fs::remove_file(filler).unwrap();
    host.out();
    assert!(fs::read_to_string(&ledger).unwrap().contains(r#""hold":{"since""#), "{}", host.log());
    assert!(host.is_held());
}

#[test]
fn a_disk_that_becomes_read_only_is_said_outlived_and_written_again_once_it_is_not() {
    if !can_mount("a_disk_that_becomes_read_only_is_said_outlived_and_written_again_once_it_is_not") {
        return;
    }
    const READ_ONLY: &str = "the file system is read-only; remount it for writing";
    const AGAIN: &str = "the ledger is written again";
    let host = Host::new();
    host.configure("traffic.owner = \"pitcrew\"");
    let agent = host.ready(&on_disk(&host.state(), "mount -t tmpfs none $state"));
    let ledger = format!("/proc/{}/root{}/ledger.json", agent.0.id(), host.state().display());
    let written = || fs::read_to_string(&ledger).unwrap_or_default();
    let before = written();
    // A mount above the same disk: the lock, which is open for writing, would keep the disk itself from it.
    let read_only = "mount --bind $state $state; mount -o remount,bind,ro $state";
    for times in 1..=2 {
        remount(&agent, &host.state(), read_only);
        // What moves no traffic away is answered as ever, and what people ask is told.
        assert!(crate::crowds::hook(&host, times).contains(r#""verdict":"done""#), "{}", host.log());
        soon("it is said, once", || host.log().matches(READ_ONLY).count() == times);
        host.status();
        if times == 1 {
            assert_eq!(written(), before, "nothing was written");
        }
        remount(&agent, &host.state(), "umount $state");
        assert!(crate::crowds::hook(&host, times + 10).contains(r#""verdict":"done""#), "{}", host.log());
        soon("it is written again, and said", || host.log().matches(AGAIN).count() == times);
    }
    assert!(written().contains("prod-12"), "what was not written then is written now: {}", written());
    // An operator's word on a disk that cannot remember it holds as long as the agent, and is on disk afterwards.
    remount(&agent, &host.state(), read_only);
    host.out();
    assert!(host.is_held() && !written().contains(r#""hold":{"since""#));
    remount(&agent, &host.state(), "umount $state");
    crate::crowds::hook(&host, 21);
    soon("the hold is on disk", || written().contains(r#""hold":{"since""#));
    assert!(!host.log().contains("panicked"), "{}", host.log());
}
