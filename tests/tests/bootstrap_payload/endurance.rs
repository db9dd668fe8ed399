//! Faults at their true length and the pace that is shipped, all at once: a minute and a half in all.

use std::process::Command;
use std::thread;
use std::time::Duration;

use pitcrew_plan::journal::{Entry, latest_run};
use tokio::time::Instant;

use super::host::{Host, TOOLS};
use super::world::Reply;

#[test]
fn faults_are_outlasted_at_their_true_length() {
    let all = [metadata_that_is_down_for_a_minute, a_lock_that_is_held_for_ninety_seconds, a_clock_ten_minutes_slow];
    let mut running = Vec::from(all.map(thread::spawn));
    running.extend(TOOLS.map(|tool| thread::spawn(move || a_server_that_falls_silent(tool))));
    for fault in running {
        fault.join().unwrap();
    }
}

fn metadata_that_is_down_for_a_minute() {
    let host = host();
    let end = Instant::now() + Duration::from_secs(60);
    host.world.fault(move |call| (call.path.starts_with("/latest/") && Instant::now() < end).then_some(Reply::Nothing));
    host.run().assert_ended_well();
    assert!((59_000..95_000).contains(&millis(&host, "facts")), "{}", host.journal());
}

fn a_lock_that_is_held_for_ninety_seconds() {
    let host = host();
    host.write("lock", "");
    // Waits as apt does when it is told to; the real apt and its real lock are in `bootstrap_system`.
    host.double("apt-get", "exec 9<$ROOT/lock; /usr/bin/flock 9; . \"$last\"");
    let mut holder =
        Command::new("/usr/bin/flock").arg(host.path("lock")).args(["/usr/bin/sleep", "90"]).spawn().unwrap();
    host.run().assert_ended_well();
    holder.wait().unwrap();
    assert!((80_000..110_000).contains(&millis(&host, "pitcrew")), "{}", host.journal());
}

fn a_clock_ten_minutes_slow() {
    let host = host();
    host.world.state().ahead_s = 600;
    host.run().assert_ended_well();
    assert_eq!(host.world.calls_to_ec2().len(), 2, "refused once, then signed by the server's date");
}

fn a_server_that_falls_silent(tool: &str) {
    let host = host();
    host.with_only(tool);
    let mut is_first = true;
    host.world.fault(move |call| {
        let falls_silent = call.path.ends_with("/pitcrew.deb") && std::mem::replace(&mut is_first, false);
        falls_silent.then_some(Reply::Silence)
    });
    host.run().assert_ended_well();
    assert_eq!(host.world.asked("/pitcrew.deb"), 2, "{tool}");
    assert!((19_000..80_000).contains(&millis(&host, "pitcrew")), "{tool}: {}", host.journal());
}

/// A host whose request keeps the pace and the deadline that are shipped.
fn host() -> Host {
    let mut host = Host::new();
    host.ask_not("pace");
    host.ask_not("deadline");
    host
}

/// Milliseconds that a step took, by the journal.
fn millis(host: &Host, step: &str) -> u32 {
    let journal = host.journal();
    let taken = latest_run(journal.as_bytes()).find_map(|entry| match entry {
        Entry::Step { name, millis, .. } if name == step => Some(millis),
        Entry::Run { .. } | Entry::Step { .. } | Entry::End { .. } => None,
    });
    taken.unwrap()
}
