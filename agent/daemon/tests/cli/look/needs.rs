//! What a test needs of the machine: a failure under `CI=true` where it is missing, and said elsewhere.

use std::io::Write as _;
use std::path::Path;

/// Whether `program` is there, which the Debian `package` has.
pub(super) fn program(test: &str, program: &str, package: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|folder| Path::is_file(&folder.join(program)));
    there || missing(test, &format!("{program} (apt-get install {package})"))
}

/// Whether this process may open so many files.
pub(super) fn descriptors(test: &str, count: u64) -> bool {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let soft = line.split_whitespace().next().and_then(|soft| soft.parse().ok()).unwrap_or(u64::MAX);
    soft >= count || missing(test, &format!("{count} open files (ulimit -n)"))
}

/// Says what is missing, and gives false.
pub(super) fn missing(test: &str, need: &str) -> bool {
    let sentence = format!("{test} needs {need}");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{sentence}");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {sentence}");
    false
}
