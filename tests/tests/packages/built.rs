//! The packages under test, and what they need of the machine.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use pitcrew_tests::command::run;
use pitcrew_tests::needs::Program;

pub(crate) const CONTAINER: &[Program] = &[
    Program { name: "systemd-nspawn", package: "systemd-container" },
    Program { name: "ip", package: "iproute2" },
    Program { name: "nsenter", package: "util-linux" },
    Program { name: "dpkg-deb", package: "dpkg" },
];

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}

/// The source tree.
pub(crate) fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The built package whose name ends so.
pub(crate) fn package(ending: &str) -> PathBuf {
    let folder = target().join("packages");
    let version = env!("CARGO_PKG_VERSION");
    let path = folder.join(match ending.ends_with(".deb") {
        true => format!("pitcrew_{version}-1_{ending}"),
        false => format!("pitcrew-{version}-1.{ending}"),
    });
    assert!(path.exists(), "{} is not there: packaging/build makes it", path.display());
    path
}

/// The agent in a Debian package, unpacked into `folder`. What is configured there is what this tree ships: a package
/// that is older would be judged by what it has never heard of.
pub(crate) fn unpacked(package: &Path, folder: &Path) -> PathBuf {
    run("dpkg-deb", &["-x", package.to_str().unwrap(), folder.to_str().unwrap()]);
    assert!(
        fragments(&folder.join("usr/lib/pitcrew/config.d")) == fragments(&source().join("packaging/config.d")),
        "{} is older than the tree, whose packaging/config.d has changed since: packaging/build makes a new one",
        package.display()
    );
    folder.join("usr/bin/pitcrew")
}

/// The files of a folder with what stands in them.
fn fragments(folder: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    files.map(|file| (file.file_name(), fs::read(file.path()).unwrap())).collect()
}

/// The same agent in a package of the next version.
pub(crate) fn next_version(arch: &str, format: &str, agent: &Path) -> PathBuf {
    let pack = source().join("packaging/pack");
    let out = std::process::Command::new(&pack)
        .args([arch, format, agent.to_str().unwrap(), "9.0.0"])
        .env("CARGO_TARGET_DIR", target())
        .output()
        .unwrap();
    assert!(out.status.success(), "packaging/pack: {}", String::from_utf8_lossy(&out.stderr));
    let path = PathBuf::from(String::from_utf8(out.stdout).unwrap().trim());
    assert!(fs::metadata(&path).unwrap().len() > 0);
    path
}
