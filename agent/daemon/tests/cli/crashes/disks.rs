//! Disks that do not take what is written.

use std::fs;
use std::path::Path;

use super::{Host, needs};

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
