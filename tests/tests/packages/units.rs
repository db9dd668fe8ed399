//! The units as systemd's own tools read them; no boot is needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::built::{CONTAINER, source};
use pitcrew_tests::command::{run, text};
use pitcrew_tests::needs;

/// The most that a unit may be exposed, as systemd counts it.
const LIMITS: [(&str, &str); 1] = [("pitcrew.service", "1.5")];

fn units() -> Vec<PathBuf> {
    let folder = source().join("systemd");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|kind| kind == "service" || kind == "path")).collect()
}

/// The units in `folder`, as they can be verified where their programs are not installed; the paths of the copies.
fn verifiable_copies(folder: &Path) -> Vec<String> {
    let copy = |unit: &PathBuf| {
        let text = fs::read_to_string(unit).unwrap();
        let text = text.replace("/usr/bin/pitcrew", "/bin/true").replace("/usr/lib/pitcrew/", "/bin/true ");
        let copy = folder.join(unit.file_name().unwrap());
        fs::write(&copy, text).unwrap();
        copy.display().to_string()
    };
    units().iter().map(copy).collect()
}

/// Lets systemd verify these units of `folder`, and the drop-ins beside them.
fn verify(folder: &Path, units: &[&str]) {
    let mut verified = Command::new("systemd-analyze");
    verified.env("SYSTEMD_UNIT_PATH", format!("{}:", folder.display())).args(["verify", "--man=no"]).args(units);
    let verified = verified.output().unwrap();
    let said = text(&verified);
    let ours: Vec<_> = said.lines().filter(|line| line.contains("pitcrew") || line.contains(".conf")).collect();
    assert!(verified.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    if !needs::are_there("checking the units", &[CONTAINER]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let copies = verifiable_copies(folder.path());
    verify(folder.path(), &copies.iter().map(String::as_str).collect::<Vec<_>>());
}

/// Where its first lines say that it belongs.
#[test]
fn examples_of_drop_ins_are_ones_that_systemd_takes() {
    if !needs::are_there("checking the drop-ins", &[CONTAINER]) {
        return;
    }
    let mut places = 0;
    for example in fs::read_dir(source().join("systemd/examples")).unwrap().map(|entry| entry.unwrap().path()) {
        let text = fs::read_to_string(&example).unwrap();
        for place in text.lines().filter_map(|line| line.strip_prefix("# /etc/systemd/system/")) {
            let folder = tempfile::tempdir().unwrap();
            verifiable_copies(folder.path());
            let drop_in = folder.path().join(place);
            fs::create_dir_all(drop_in.parent().unwrap()).unwrap();
            fs::write(&drop_in, &text).unwrap();
            let unit = place.split(".d/").next().unwrap();
            verify(folder.path(), &[folder.path().join(unit).to_str().unwrap()]);
            places += 1;
        }
    }
    assert!(places > 3, "only {places} places");
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
