//! `pitcrew appspec`.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::{outcome, pitcrew};

const APPSPEC: &str = "version: 0.0\nos: linux\nhooks:\n  ApplicationStop:\n    - location: stop.sh # first of all\n";

fn bundle() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("appspec.yml"), APPSPEC).unwrap();
    fs::write(directory.path().join("stop.sh"), "#!/bin/sh\nsystemctl stop shop\n").unwrap();
    directory
}

fn appspec(arguments: &[&str], directory: &Path) -> (i32, String, String) {
    outcome(&mut pitcrew(&[&["appspec"], arguments, &[directory.to_str().unwrap()]].concat()))
}

#[test]
fn the_shipped_sample_has_nothing_to_mend() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/appspec/sample");
    let (status, stdout, _) = appspec(&["check"], &sample);
    assert_eq!(status, 0, "{stdout}");
    assert!(stdout.ends_with("nothing to mend\n"), "{stdout}");
}

#[test]
fn an_application_that_stops_under_traffic_is_an_error_and_init_mends_it() {
    let directory = bundle();
    let (status, stdout, _) = appspec(&["check", "--json"], directory.path());
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let rules: Vec<_> =
        report["findings"].as_array().unwrap().iter().filter_map(|finding| finding["rule"].as_str()).collect();
    assert_eq!((status, rules), (2, vec!["AS040", "AS041", "AS043", "AS021"]));

    let (status, stdout, stderr) = appspec(&["init", "--dry-run"], directory.path());
    assert_eq!(status, 0);
    assert!(stderr.starts_with("would create scripts/pitcrew-hook.sh\nwould change appspec.yml"), "{stderr}");
    assert!(stdout.contains("    - location: stop.sh # first of all\n"), "{stdout}");
    assert_eq!(fs::read_to_string(directory.path().join("appspec.yml")).unwrap(), APPSPEC);

    // What is left is a matter of the script's own permission.
    let (status, stdout, _) = appspec(&["init"], directory.path());
    assert_eq!((status, stdout.contains("1 warning") && stdout.contains("AS021")), (1, true), "{stdout}");
    let (status, _, stderr) = appspec(&["init", "--dry-run"], directory.path());
    assert_eq!((status, stderr.as_str()), (0, "every event has its shim: nothing to write\n"));
}

#[test]
fn who_owns_traffic_decides_where_the_shims_stand() {
    let directory = tempfile::tempdir().unwrap();
    let (status, _, _) = appspec(&["init", "--owner", "codedeploy"], directory.path());
    assert_eq!(status, 0);
    assert!(fs::read_to_string(directory.path().join("appspec.yml")).unwrap().contains("  AfterAllowTraffic:\n"));
    assert_eq!(appspec(&["check", "--owner", "codedeploy"], directory.path()).0, 0);
    let (status, stdout, _) = appspec(&["check", "--owner", "elastigroup"], directory.path());
    assert_eq!((status, stdout.contains("AS046")), (1, true), "{stdout}");
}

#[test]
fn what_cannot_be_added_to_is_refused_with_its_line() {
    let directory = bundle();
    fs::write(directory.path().join("appspec.yml"), "version: 0.0\nos: linux\nhooks: {}\n").unwrap();
    let (status, stdout, stderr) = appspec(&["init"], directory.path());
    assert_eq!((status, stdout.as_str()), (65, ""));
    assert!(
        stderr.contains("appspec.yml:3: hooks stands in brackets") && stderr.contains("nothing was written"),
        "{stderr}"
    );
    let (status, _, stderr) = appspec(&["check"], Path::new("/no/such/bundle"));
    assert_eq!(status, 66);
    assert!(stderr.contains("failed to read `/no/such/bundle`"), "{stderr}");
}
