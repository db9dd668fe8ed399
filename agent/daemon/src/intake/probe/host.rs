//! What this host itself says: room on a file system, memory, memory pressure, load. Each question reads only what it
//! needs.

use std::path::Path;

use nix::sys::statvfs::statvfs;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// Whether the file system that holds `path` has at least `free_percent` of its blocks for this user. Asked of that file
/// system alone: another one that hangs must not hang the agent.
pub(super) fn disk(path: &Path, free_percent: u8) -> Result<(), String> {
    let name = path.display();
    let facts = statvfs(path).map_err(|error| format!("the file system of `{name}` does not answer: {error}"))?;
    let (free, blocks) = (u128::from(facts.blocks_available()), u128::from(facts.blocks()));
    enough(percent(free, blocks), free_percent, &format!("of the file system of `{name}` is free"))
}

/// Whether at least `available_percent` of the memory can be had without swapping.
pub(super) fn memory(available_percent: u8) -> Result<(), String> {
    let what = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let facts = System::new_with_specifics(what);
    let (available, total) = (u128::from(facts.available_memory()), u128::from(facts.total_memory()));
    enough(percent(available, total), available_percent, "of the memory is available")
}

/// Where the kernel tells for how long processes waited for memory (PSI).
const PRESSURE: &str = "/proc/pressure/memory";

/// Whether some process had to wait for memory during at most `percent` of the last minute: memory may well be
/// available, and still be swapped and reclaimed all the time.
pub(super) fn memory_pressure(percent: u8) -> Result<(), String> {
    let text = std::fs::read_to_string(PRESSURE).map_err(|error| {
        format!("this kernel does not tell of memory pressure (`{PRESSURE}`: {error}); boot with psi=1")
    })?;
    let waited = some_of_last_minute(&text).ok_or_else(|| format!("`{PRESSURE}` cannot be read: {text:?}"))?;
    match waited <= f64::from(percent) {
        true => Ok(()),
        false => {
            Err(format!("processes waited for memory for {waited:.0} % of the last minute, more than {percent} %"))
        }
    }
}

/// Of `some avg10=0.00 avg60=1.53 avg300=0.87 total=48213`: the share of the last minute, in percent.
fn some_of_last_minute(text: &str) -> Option<f64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split(' ').find_map(|field| field.strip_prefix("avg60="))?.parse().ok()
}

/// Whether at most `per_cpu` processes for each processor ran or waited, over the last minute.
pub(super) fn load(per_cpu: u32) -> Result<(), String> {
    let load = System::load_average().one;
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let each = load / cpus as f64;
    match each <= f64::from(per_cpu) {
        true => Ok(()),
        false => Err(format!("the load is {each:.1} for each of {cpus} processors, more than {per_cpu}")),
    }
}

/// Whole percents, rounded down; all of nothing.
fn percent(part: u128, whole: u128) -> u128 {
    (part * 100).checked_div(whole).unwrap_or(100)
}

fn enough(percent: u128, least: u8, of_what: &str) -> Result<(), String> {
    match percent >= u128::from(least) {
        true => Ok(()),
        false => Err(format!("{percent} % {of_what}, less than {least} %")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_below_the_threshold_is_said_with_both_numbers() {
        assert_eq!(enough(5, 5, "is free"), Ok(()));
        assert_eq!(enough(4, 5, "is free").unwrap_err(), "4 % is free, less than 5 %");
        assert_eq!((percent(1, 3), percent(0, 0)), (33, 100));
    }

    #[test]
    fn pressure_is_what_some_process_waited_in_the_last_minute() {
        let text =
            "some avg10=7.00 avg60=1.53 avg300=0.87 total=48213\nfull avg10=0.00 avg60=0.50 avg300=0.10 total=9\n";
        assert_eq!((some_of_last_minute(text), some_of_last_minute("full avg60=1.00")), (Some(1.53), None));
        match Path::new(PRESSURE).exists() {
            true => assert_eq!(memory_pressure(100), Ok(())),
            false => assert!(memory_pressure(100).unwrap_err().contains("boot with psi=1")),
        }
    }

    #[test]
    fn this_host_answers_each_question() {
        assert_eq!(disk(Path::new("/proc/self"), 1), Ok(()), "a file system without blocks is not full");
        assert!(disk(Path::new("/nowhere"), 1).unwrap_err().contains("`/nowhere` does not answer"));
        assert!(memory(1).is_ok() && load(100).is_ok());
        assert!(memory(99).unwrap_err().ends_with("% of the memory is available, less than 99 %"));
    }
}
