//! What this process costs, as `/proc` has it.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};

use super::Counts;
use super::families as of;

/// Measures; what cannot be read is left out.
pub(super) fn measure(counts: &mut Counts) {
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100) as f64;
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096) as f64;
    if let Some(facts) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(read) {
        counts.set(&of::PROCESS_CPU, &[], facts.cpu_ticks / ticks);
        counts.set(&of::PROCESS_RSS, &[], facts.resident_pages * page);
        if let Some(booted) = fs::read_to_string("/proc/stat").ok().as_deref().and_then(boot_time) {
            counts.set(&of::PROCESS_START, &[], booted + facts.started_ticks / ticks);
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The directory itself is open while it is read.
        counts.set(&of::PROCESS_FDS, &[], open.count().saturating_sub(1) as f64);
    }
}

struct Facts {
    cpu_ticks: f64,
    started_ticks: f64,
    resident_pages: f64,
}

/// `proc_pid_stat(5)`: fields are counted from behind the command's name, which may hold anything.
fn read(stat: &str) -> Option<Facts> {
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    // The first of these is field 3.
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    Some(Facts { cpu_ticks: field(14)? + field(15)?, started_ticks: field(22)?, resident_pages: field(24)? })
}

fn boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_spaces_and_brackets_does_not_shift_the_fields() {
        let stat =
            "7 (a) b (c) S 1 7 7 0 -1 4194560 900 0 3 0 250 50 0 0 20 0 1 0 4711 9999999 2048 18446744073709551615";
        let facts = read(stat).unwrap();
        assert_eq!((facts.cpu_ticks, facts.started_ticks, facts.resident_pages), (300.0, 4711.0, 2048.0));
        assert!(read("nonsense").is_none());
        assert_eq!(boot_time("cpu 1 2\nbtime 1795411200\n"), Some(1_795_411_200.0));
    }
}
