//! SIGKILL at every system call by which the real agent writes its ledger.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Host, has};

/// What a write consists of.
const CALLS: &str = "openat,open,flock,fcntl,ftruncate,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,\
                     close,mkdir,statx";

#[test]
fn killed_at_any_system_call_of_a_write_it_remembers_what_it_promised() {
    if !has("killed_at_any_system_call_of_a_write_it_remembers_what_it_promised", "strace", "strace") {
        return;
    }
    let (mut kills, mut remembered) = (0, 0);
    for nth in 1..200 {
        let host = Host::new();
        let state = host.state();
        let files = ["", "ledger.lock", "ledger.json", "ledger.json.new", "ledger.previous.json"];
        let mut strace: Vec<String> = ["strace", "-f", "-qqq", "-o", "/dev/null"].map(str::to_owned).into();
        for file in files {
            let path = if file.is_empty() { state.clone() } else { state.join(file) };
            strace.extend(["-P".to_owned(), path.display().to_string()]);
        }
        strace.extend(["-e".to_owned(), format!("inject={CALLS}:signal=KILL:when={nth}")]);
        let (mut started, manager) = host.start(&strace);
        let mut promised = false;
        if manager.hears_or_ends("READY=1", &mut started.0) {
            promised = host.out();
        }
        let died = started.0.try_wait().unwrap().is_some();
        // strace lets go of what it watches when it is killed itself.
        children(started.0.id()).iter().for_each(|child| kill(Pid::from_raw(*child), Signal::SIGKILL).unwrap_or(()));
        drop(started);
        super::soon("the lock is free", || lock_is_free(&state));

        let again = host.ready(&[]);
        let held = host.is_held();
        assert!(held || !promised, "call {nth}: promised and forgotten\n{}", host.log());
        assert!(!host.log().contains("panicked"), "call {nth}: {}", host.log());
        kills += u32::from(died);
        remembered += u32::from(held);
        drop(again);
        if !died {
            println!("killed at each of {kills} calls; {remembered} times the hold was on disk already");
            assert!(kills >= 6, "a write takes more calls than {kills}");
            return;
        }
    }
    panic!("a write of more than 200 system calls");
}

fn children(of: u32) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// strace ends before those it watched: the next agent must find the directory unlocked.
fn lock_is_free(state: &std::path::Path) -> bool {
    std::fs::File::open(state.join("ledger.lock")).map_or(true, |lock| lock.try_lock().is_ok())
}
