//! What the packages are like: what distributions' own checkers say, sizes, symbols, and an agent of the other architecture.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use super::built;
use pitcrew_tests::command::{output, run, text};
use pitcrew_tests::needs::{self, Program};

const LINTIAN: &[Program] = &[Program { name: "lintian", package: "lintian" }];
const RPMLINT: &[Program] =
    &[Program { name: "rpmlint", package: "rpmlint" }, Program { name: "rpm2cpio", package: "rpm2cpio" }];
const READELF: &[Program] = &[Program { name: "readelf", package: "binutils" }];
const EMULATOR: &[Program] = &[Program { name: "qemu-aarch64-static", package: "qemu-user-static" }];

const ENDINGS: [&str; 4] = ["amd64.deb", "arm64.deb", "x86_64.rpm", "aarch64.rpm"];

/// The most bytes that an agent may have.
const AGENT: u64 = 7_000_000;
/// The same of a package.
const PACKAGE: u64 = 3_500_000;

#[test]
#[ignore = "needs the packages: packaging/build"]
fn agents_and_packages_are_small() {
    let mut sizes = Vec::new();
    for ending in ENDINGS {
        let package = built::package(ending);
        sizes.push((ending.to_owned(), fs::metadata(&package).unwrap().len(), PACKAGE));
        if ending.ends_with(".deb") {
            let folder = tempfile::tempdir().unwrap();
            let bytes = fs::metadata(built::unpacked(&package, folder.path())).unwrap().len();
            sizes.push((format!("the agent of {ending}"), bytes, AGENT));
        }
    }
    let mut table = String::new();
    for (what, bytes, most) in &sizes {
        writeln!(table, "{what:24}{bytes:>10} of {most:>9}").unwrap();
    }
    // What harnesses keep of a test that passes, nobody reads.
    let _ = write!(std::io::stderr(), "{table}");
    assert!(sizes.iter().all(|(_, bytes, most)| bytes <= most), "{table}");
}

/// What SECURITY.md says of an executable at a fixed address.
#[test]
#[ignore = "needs the packages: packaging/build"]
fn agents_bind_imports_at_once_and_execute_no_stack() {
    of_both_agents(|ending, read| {
        let headers = read(&["--segments", "--dynamic"]);
        assert!(headers.contains("GNU_RELRO") && headers.contains("BIND_NOW"), "{ending}: {headers}");
        let stack = headers.lines().find(|line| line.contains("GNU_STACK")).unwrap_or_default();
        assert!(stack.contains(" RW ") && !stack.contains("RWE"), "{ending}: {headers}");
        let mixed = headers.lines().find(|line| line.contains(" LOAD ") && line.contains(" RWE "));
        assert_eq!(mixed, None, "{ending}");
    });
}

#[test]
#[ignore = "needs the packages: packaging/build"]
fn agents_ask_for_nothing_newer_than_amazon_linux_2_has() {
    of_both_agents(|ending, read| {
        let symbols = read(&["--version-info"]);
        let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| {
            let number: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            let (major, minor) = number.split_once('.')?;
            Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
        });
        let newest: (u32, u32) = versions.max().unwrap();
        assert!(newest <= (2, 26), "{ending}: {newest:?}");
        let needed = read(&["--dynamic"]);
        let libraries: Vec<_> = needed.lines().filter(|line| line.contains("(NEEDED)")).collect();
        assert!(!libraries.iter().any(|line| line.contains("libgcc_s")), "{ending}: {libraries:?}");
        let sections = read(&["--sections"]);
        assert!(sections.contains(".dep-v0"), "{ending}: no data of cargo-auditable");
        assert!(!sections.contains(".symtab"), "{ending}: not stripped");
    });
}

/// What `readelf` says of the agent for each architecture, whose package ends so; unpacked once for all questions.
fn of_both_agents(judge: impl Fn(&str, &dyn Fn(&[&str]) -> String)) {
    let packages = ["amd64.deb", "arm64.deb"].map(|ending| (ending, built::package(ending)));
    if !needs::are_there("reading executables", &[READELF]) {
        return;
    }
    for (ending, package) in packages {
        let folder = tempfile::tempdir().unwrap();
        let agent = built::unpacked(&package, folder.path());
        judge(ending, &|what| run("readelf", &[&["--wide"][..], what, &[agent.to_str().unwrap()]].concat()));
    }
}

#[test]
#[ignore = "needs the packages: packaging/build"]
fn every_key_of_the_configuration_is_in_its_reference() {
    let package = built::package("amd64.deb");
    let folder = tempfile::tempdir().unwrap();
    let agent = built::unpacked(&package, folder.path());
    let shown = run(agent.to_str().unwrap(), &["config", "show", "--json"]);
    let reference = fs::read_to_string(folder.path().join("usr/share/doc/pitcrew/configuration.md")).unwrap();
    let keys: serde_json::Value = serde_json::from_str(&shown).unwrap();
    for entry in keys.as_array().unwrap() {
        let key = entry["key"].as_str().unwrap();
        let name = key.rsplit('.').next().unwrap();
        assert!(reference.contains(&format!("{name} = ")), "the reference lacks {key}");
    }
}

#[test]
#[ignore = "needs the packages: packaging/build"]
fn bill_of_materials_names_what_the_lock_file_has() {
    let package = built::package("arm64.deb");
    let folder = tempfile::tempdir().unwrap();
    built::unpacked(&package, folder.path());
    let text = fs::read_to_string(folder.path().join("usr/share/doc/pitcrew/sbom.cdx.json")).unwrap();
    let bill: serde_json::Value = serde_json::from_str(&text).unwrap();
    let lock = fs::read_to_string(built::source().join("Cargo.lock")).unwrap();
    let parts = bill["components"].as_array().unwrap();
    for part in parts {
        let entry = format!("name = {}\nversion = {}", part["name"], part["version"]);
        assert!(lock.contains(&entry), "{entry} is not in Cargo.lock");
    }
    for name in ["ring", "rustls", "tokio", "aws-sdk-codedeploy"] {
        assert!(parts.iter().any(|part| part["name"] == name), "{name} is missing");
    }
}

#[test]
#[ignore = "needs the packages: packaging/build"]
fn lintian_finds_no_error() {
    let test = "lintian";
    for ending in ["amd64.deb", "arm64.deb"] {
        let package = built::package(ending);
        if !needs::are_there(test, &[LINTIAN]) {
            return;
        }
        let package = package.to_str().unwrap();
        let said = output("lintian", &["--allow-root", "--fail-on", "error", "--tag-display-limit", "0", package]);
        assert!(said.status.success(), "{}", text(&said));
    }
}

#[test]
#[ignore = "needs the packages: packaging/build"]
fn rpmlint_finds_no_error() {
    let test = "rpmlint";
    for ending in ["x86_64.rpm", "aarch64.rpm"] {
        let package = built::package(ending);
        if !needs::are_there(test, &[RPMLINT]) {
            return;
        }
        let settings = built::source().join("packaging/rpm/rpmlint.toml");
        let said = output("rpmlint", &["--config", settings.to_str().unwrap(), package.to_str().unwrap()]);
        assert!(said.status.success(), "{}", text(&said));
    }
}

/// The same input makes the same bytes, whatever the time and the folder of its making.
#[test]
#[ignore = "needs the packages: packaging/build"]
fn packing_twice_makes_the_same_bytes() {
    let package = built::package("amd64.deb");
    let folder = tempfile::tempdir().unwrap();
    let agent = built::unpacked(&package, folder.path());
    for format in ["deb", "rpm"] {
        let first = fs::read(pack(format, &agent)).unwrap();
        let again = fs::read(pack(format, &agent)).unwrap();
        assert!(first == again, "{format}: {} and {} bytes", first.len(), again.len());
    }
}

fn pack(format: &str, agent: &Path) -> String {
    let out = Command::new(built::source().join("packaging/pack"))
        .args(["x86_64", format, agent.to_str().unwrap(), "8.0.0"])
        .env("CARGO_TARGET_DIR", built::target())
        .env("SOURCE_DATE_EPOCH", "1800000000")
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", text(&out));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

#[test]
#[ignore = "needs the packages: packaging/build"]
fn arm_agent_starts_under_emulation() {
    let package = built::package("arm64.deb");
    if !needs::are_there("the agent for aarch64", &[EMULATOR]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let agent = built::unpacked(&package, folder.path());
    let emulated = |arguments: &[&str]| {
        let mut words = vec!["-L", "/usr/aarch64-linux-gnu", agent.to_str().unwrap()];
        words.extend(arguments);
        run("qemu-aarch64-static", &words)
    };
    assert!(emulated(&["--version"]).contains(env!("CARGO_PKG_VERSION")));
    let fragments = built::source().join("packaging/config.d");
    emulated(&["config", "check", "--config-dir", fragments.to_str().unwrap()]);
    // The whole agent, its client of AWS and the world, in one process under virtual time.
    let said = emulated(&["rehearse", "--simulated"]);
    assert!(said.contains("lost 0 of"), "{said}");
}
