//! SIGKILL at every system call by which the real agent writes its ledger.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Host, has};

/// What a write consists of. strace counts each by itself.
const CALLS: [&str; 7] = ["openat", "flock", "write", "fsync", "rename", "unlink", "close"];

#[test]
fn killed_at_any_system_call_of_a_write_it_remembers_what_it_promised() {
    if !has("killed_at_any_system_call_of_a_write_it_remembers_what_it_promised", "strace", "strace") {
        return;
    }
    let (mut kills, mut remembered) = (0, 0);
    for call in CALLS {
        for nth in 1.. {
            let (died, held) = killed_at(call, nth);
            remembered += u32::from(died && held);
            if !died {
                break;
            }
            kills += 1;
        }
    }
    println!("killed at each of {kills} calls; {remembered} times the hold was on disk already");
    assert!(kills >= 15, "two writes take more calls than {kills}");
    assert!(remembered > 0, "no write was ever finished");
}

/// An agent that is killed where it calls `call` on its state directory for the `nth` time, and the one that follows it.
/// Returns whether it came to that, and whether the operator's hold is remembered.
fn killed_at(call: &str, nth: u32) -> (bool, bool) {
    let host = Host::new();
    let state = host.state();
    let files = ["", "ledger.lock", "ledger.json", "ledger.json.new", "ledger.previous.json"];
    let mut strace: Vec<String> = ["strace", "-f", "-qqq", "-o", "/dev/null"].map(str::to_owned).into();
    for file in files {
        let path = if file.is_empty() { state.clone() } else { state.join(file) };
        strace.extend(["-P".to_owned(), path.display().to_string()]);
    }
    strace.extend(["-e".to_owned(), format!("inject={call}:signal=KILL:when={nth}")]);
    let (mut started, manager) = host.start(&strace);
    let promised = manager.hears_or_ends("READY=1", &mut started.0) && host.out();
    let died = started.0.try_wait().unwrap().is_some();
    // strace lets go of what it watches when it is killed itself.
    children(started.0.id()).iter().for_each(|child| kill(Pid::from_raw(*child), Signal::SIGKILL).unwrap_or(()));
    drop(started);
    super::soon("the lock is free", || lock_is_free(&state));

    let _again = host.ready(&[]);
    let held = host.is_held();
    assert!(held || !promised, "{call} {nth}: promised and forgotten\n{}", host.log());
    assert!(!host.log().contains("panicked"), "{call} {nth}: {}", host.log());
    (died, held)
}

fn children(of: u32) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// strace ends before those it watched: the next agent must find the directory unlocked.
fn lock_is_free(state: &std::path::Path) -> bool {
    std::fs::File::open(state.join("ledger.lock")).map_or(true, |lock| lock.try_lock().is_ok())
}
