//! `pitcrew config`.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::{outcome, pitcrew};

fn directory(text: &str) -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("90-own.toml"), text).unwrap();
    let option = format!("--config-dir={}", directory.path().display());
    (directory, option)
}

fn shipped() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/config.d");
    format!("--config-dir={}", path.display())
}

#[test]
fn a_good_configuration_is_said_to_be_one() {
    let (_directory, own) = directory("[drain]\nsettle = \"7s\"\n");
    let (status, stdout, _) = outcome(&mut pitcrew(&["config", "check", &shipped(), &own]));
    assert_eq!((status, stdout.as_str()), (0, "the configuration makes sense\n"));
}

#[test]
fn a_bad_one_is_refused_with_file_line_and_key_by_every_command_that_reads_it() {
    let (directory, own) = directory("[drain]\nsettle = \"7 parsecs\"\nquiet = 2\n");
    for command in [&["config", "check"][..], &["config", "show"], &["run"]] {
        let (status, stdout, stderr) = outcome(&mut pitcrew(&[command, &[own.as_str()]].concat()));
        assert_eq!((status, stdout.as_str()), (78, ""), "{command:?}");
        let file = directory.path().join("90-own.toml");
        let first = format!("{}:2: `drain.settle`: `7 parsecs` is no duration", file.display());
        let second = format!("{}:3: unknown key `drain.quiet`; [drain] has settle, quiet_period", file.display());
        assert!(stderr.contains(&first) && stderr.contains(&second), "{command:?}: {stderr}");
    }
}

#[test]
fn a_directory_that_is_not_there_is_refused() {
    let (status, _, stderr) = outcome(&mut pitcrew(&["config", "check", "--config-dir=/no/such/directory"]));
    assert_eq!(status, 78);
    assert!(stderr.contains("`/no/such/directory`: No such file"), "{stderr}");
}

#[test]
fn show_names_the_file_that_set_a_key() {
    let (directory, own) = directory("[drain]\nsettle = \"7s\"\n");
    let (status, stdout, _) = outcome(&mut pitcrew(&["config", "show", "--json", &own]));
    assert_eq!(status, 0);
    let rows: Vec<Value> = serde_json::from_str(&stdout).unwrap();
    let row = |key: &str| rows.iter().find(|row| row["key"] == key).unwrap();
    let file = directory.path().join("90-own.toml");
    assert_eq!(row("drain.settle")["value"], "7s");
    assert_eq!(row("drain.settle")["file"], file.display().to_string());
    assert_eq!(row("drain.settle")["line"], 2);
    assert_eq!(row("drain.quiet_period")["value"], "2s");
    assert_eq!(row("drain.quiet_period")["file"], Value::Null);
}
