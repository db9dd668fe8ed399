//! `pitcrew lint`.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::{outcome, pitcrew, told};

fn shipped(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/elastigroup").join(name).display().to_string()
}

#[test]
fn the_exit_status_is_that_of_the_worst_finding() {
    let directory = tempfile::tempdir().unwrap();
    let lint = |change: fn(&mut Value)| {
        let mut group: Value = serde_json::from_str(&fs::read_to_string(shipped("recommended.json")).unwrap()).unwrap();
        change(&mut group["group"]);
        let file = directory.path().join("group.json");
        fs::write(&file, group.to_string()).unwrap();
        outcome(&mut pitcrew(&["lint", file.to_str().unwrap()]))
    };
    let (status, stdout, _) = lint(|_| {});
    assert_eq!(status, 0);
    assert!(stdout.ends_with("nothing to mend\n"), "{stdout}");
    let (status, stdout, _) = lint(|group| group["strategy"]["drainingTimeout"] = json!(400));
    assert_eq!((status, stdout.contains("note     EG006")), (0, true), "{stdout}");
    let (status, stdout, _) = lint(|group| group["strategy"]["fallbackToOd"] = json!(false));
    assert_eq!((status, stdout.contains("warning  EG063")), (1, true), "{stdout}");
    let (status, stdout, _) = lint(|group| group["capacity"]["target"] = json!(1));
    assert_eq!((status, stdout.contains("error    EG061")), (2, true), "{stdout}");
}

#[test]
fn options_say_what_the_group_does_not() {
    let file = shipped("recommended.json");
    let (status, stdout, _) = outcome(&mut pitcrew(&["lint", &file, "--deregistration-delay", "10m", "--json"]));
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((status, &report["findings"][0]["rule"]), (1, &json!("EG008")));
    let slow =
        ["lint", &file, "--deployment-seconds", "1000", "--allow", "eg003", "--allow", "EG012", "--allow", "EG013"];
    assert_eq!(outcome(&mut pitcrew(&slow)).0, 0);
    let (status, stdout, _) = outcome(&mut pitcrew(&["lint", &file, "--selecting-tag", "service=web"]));
    assert_eq!((status, stdout.contains("selects by service=web")), (1, true), "{stdout}");
}

#[test]
fn a_group_may_come_by_standard_input_and_go_as_sarif() {
    let mut command = pitcrew(&["lint", "-", "--sarif"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&fs::read(shipped("sample.json")).unwrap()).unwrap();
    let (status, stdout, _) = told(child.wait_with_output().unwrap());
    assert_eq!(status, 2);
    let log: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let location = &log["runs"][0]["results"][0]["locations"][0];
    assert_eq!(location["physicalLocation"]["artifactLocation"]["uri"], "stdin");
    assert_eq!(location["logicalLocations"][0]["fullyQualifiedName"], "/group/compute/launchSpecification/userData");
}

#[test]
fn what_cannot_be_read_is_told_apart_from_what_is_wrong() {
    let (status, stdout, stderr) = outcome(&mut pitcrew(&["lint", "/no/such/group.json"]));
    assert_eq!((status, stdout.as_str()), (66, ""));
    assert!(stderr.contains("reading `/no/such/group.json`: No such file"), "{stderr}");
    let (status, _, stderr) = outcome(&mut pitcrew(&["lint", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]));
    assert_eq!(status, 65);
    assert!(stderr.contains("is no JSON"), "{stderr}");
    let (status, _, stderr) = outcome(&mut pitcrew(&["lint", "x", "--allow", "EG999"]));
    assert_eq!(status, 64);
    assert!(stderr.contains("there is no rule `EG999`; the rules are EG001"), "{stderr}");
}

#[test]
fn what_user_data_renders_is_read_back_and_fits_the_group_or_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::create_dir(folder.path().join("x86_64")).unwrap();
    fs::write(folder.path().join("x86_64/pitcrew-bootstrap"), installer()).unwrap();
    let lint = |deadline: &str| {
        let request = format!(
            "systems = [\"al2023\"]\n[run]\ndeadline = \"{deadline}\"\n[[package]]\narch = \"x86_64\"\n\
             url = \"https://packages.example.com/pitcrew.rpm\"\nsha256 = \"{}\"\n[codedeploy]\nversion = \"ensure\"\n",
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
        );
        fs::write(folder.path().join("bootstrap.toml"), request).unwrap();
        let (toml, directory) = (path("bootstrap.toml"), path(""));
        let render = ["user-data", &toml, "--offline", "--payload-dir", &directory];
        let (status, user_data, stderr) = outcome(&mut pitcrew(&render));
        assert_eq!(status, 0, "{stderr}");
        let mut group: Value = serde_json::from_str(&fs::read_to_string(shipped("recommended.json")).unwrap()).unwrap();
        group["group"]["compute"]["launchSpecification"]["userData"] = user_data.trim().into();
        fs::write(folder.path().join("group.json"), group.to_string()).unwrap();
        outcome(&mut pitcrew(&["lint", &path("group.json")]))
    };
    let (status, stdout, _) = lint("15m");
    assert_eq!(status, 0, "{stdout}");
    let (status, stdout, _) = lint("16m");
    assert_eq!((status, stdout.contains("EG034") && stdout.contains("deadline is 960 s")), (1, true), "{stdout}");
}

/// The smallest file that is an x86_64 executable, with something behind it that cannot be packed.
fn installer() -> Vec<u8> {
    let mut elf = vec![0; 0x78];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    elf[0x12] = 62;
    elf[0x20] = 0x40;
    elf[0x36] = 0x38;
    elf[0x38] = 1;
    let noise = (0..600u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]);
    elf.extend(noise);
    let size = u64::try_from(elf.len()).unwrap();
    elf[0x60..0x68].copy_from_slice(&size.to_le_bytes());
    elf
}
