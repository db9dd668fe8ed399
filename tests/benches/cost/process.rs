//! What a running process has used so far, as the kernel counts it.

use std::fs;
use std::time::Duration;

/// The use of a process, all its threads together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Resident set, in bytes.
    pub(crate) resident: u64,
    /// Its part that no file backs, in bytes.
    pub(crate) anonymous: u64,
    /// Time on a CPU, of the threads that still run.
    pub(crate) cpu: Duration,
    /// Times that it slept and was woken: voluntary context switches.
    pub(crate) woken: u64,
    /// Times that it had to let others through: what a busy machine does to it.
    pub(crate) preempted: u64,
    pub(crate) threads: u64,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> Self {
        let status = read(&format!("/proc/{pid}/status"));
        let mut usage = Self {
            resident: field(&status, "VmRSS") * 1024,
            anonymous: field(&status, "RssAnon") * 1024,
            cpu: Duration::ZERO,
            woken: 0,
            preempted: 0,
            threads: field(&status, "Threads"),
        };
        for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
            let thread = thread.unwrap().path();
            let status = read(&thread.join("status").display().to_string());
            usage.woken += field(&status, "voluntary_ctxt_switches");
            usage.preempted += field(&status, "nonvoluntary_ctxt_switches");
            // In nanoseconds, where /proc/PID/stat counts hundredths of a second.
            let account = read(&thread.join("schedstat").display().to_string());
            usage.cpu += Duration::from_nanos(account.split(' ').next().unwrap().parse().unwrap());
        }
        usage
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn field(status: &str, name: &str) -> u64 {
    let mut values = status.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let value = values.next().and_then(|value| value.split_whitespace().next());
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {status}"))
}
