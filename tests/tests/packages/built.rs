//! The packages under test, and what they need of the machine.

use std::fs;
use std::io::Write as _;
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

/// The built package whose name ends so. Without it the test is passed over, which is said; it fails where packages
/// have been built, which `PITCREW_PACKAGES` says.
pub(crate) fn package(test: &str, ending: &str) -> Option<PathBuf> {
    let folder = target().join("packages");
    let name = |version: &str| match ending.ends_with(".deb") {
        true => format!("pitcrew_{version}-1_{ending}"),
        false => format!("pitcrew-{version}-1.{ending}"),
    };
    let path = folder.join(name(env!("CARGO_PKG_VERSION")));
    if !path.exists() {
        let sentence = format!("{test} needs `{}` (packaging/build)", path.display());
        assert!(std::env::var_os("PITCREW_PACKAGES").is_none(), "{sentence}");
        let _ = writeln!(std::io::stderr(), "SKIPPED: {sentence}");
        return None;
    }
    Some(path)
}

/// The agent in a Debian package, unpacked into `folder`.
pub(crate) fn unpacked(package: &Path, folder: &Path) -> PathBuf {
    run("dpkg-deb", &["-x", package.to_str().unwrap(), folder.to_str().unwrap()]);
    folder.join("usr/bin/pitcrew")
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
