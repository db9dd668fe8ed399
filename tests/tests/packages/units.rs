//! The units as systemd's own tools read them; no boot is needed.

use std::fs;
use std::path::PathBuf;

use super::built::{CONTAINER, source};
use pitcrew_tests::command::{output, run, text};
use pitcrew_tests::needs;

/// The most that a unit may be exposed, as systemd counts it.
const LIMITS: [(&str, &str); 1] = [("pitcrew.service", "1.5")];

fn units() -> Vec<PathBuf> {
    let folder = source().join("systemd");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|kind| kind == "service" || kind == "path")).collect()
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    if !needs::are_there("checking the units", &[CONTAINER]) {
        return;
    }
    // Programs that the units start must be there to be verified; the package has them.
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = vec!["verify".to_owned(), "--man=no".to_owned()];
    for unit in units() {
        let text = fs::read_to_string(&unit).unwrap();
        let text = text.replace("/usr/bin/pitcrew", "/bin/true").replace("/usr/lib/pitcrew/", "/bin/true ");
        let copy = folder.path().join(unit.file_name().unwrap());
        fs::write(&copy, text).unwrap();
        arguments.push(copy.display().to_string());
    }
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let verified = output("systemd-analyze", &arguments);
    let said = text(&verified);
    let ours: Vec<_> = said.lines().filter(|line| line.contains("pitcrew")).collect();
    assert!(verified.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn agent_is_hardly_exposed() {
    if !needs::are_there("checking the units", &[CONTAINER]) {
        return;
    }
    for (unit, limit) in LIMITS {
        let threshold = format!("--threshold={}", limit.replace('.', ""));
        let path = source().join("systemd").join(unit);
        run("systemd-analyze", &["security", "--offline=true", &threshold, path.to_str().unwrap()]);
    }
}

/// systemd 219, of Amazon Linux 2, passes over directives and values that it does not know; these it would misread.
#[test]
fn nothing_in_the_units_breaks_on_systemd_219() {
    for unit in units() {
        let name = unit.display();
        for line in fs::read_to_string(&unit).unwrap().lines().filter(|line| !line.starts_with('#')) {
            let Some((key, value)) = line.split_once('=') else { continue };
            match key {
                // It knows no groups: a list of what is allowed would be next to empty.
                "SystemCallFilter" => assert!(value.starts_with('~'), "{name}: {line}"),
                // It takes `infinity` for a number that overflows.
                "TimeoutStartSec" | "TimeoutStopSec" | "TimeoutSec" => assert_ne!(value, "infinity", "{name}"),
                // Since 230 they stand under [Unit]; under [Service] with their old names, every version reads them.
                "StartLimitIntervalSec" => panic!("{name}: {line}: write StartLimitInterval= under [Service]"),
                // Prefixes other than `-` and `@` came with 231.
                "ExecStart" | "ExecStop" | "ExecReload" => assert!(value.starts_with('/'), "{name}: {line}"),
                _ => {}
            }
        }
    }
}
