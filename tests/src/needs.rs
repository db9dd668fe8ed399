//! What a system test needs of the machine, and what happens where it is missing.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A program that a test runs, and the Debian package that has it.
pub struct Program {
    /// As it is called.
    pub name: &'static str,
    /// As apt knows it.
    pub package: &'static str,
}

/// For a machine that cloud-init prepares.
pub const SYSTEM: &[Program] = &[
    Program { name: "cloud-init", package: "cloud-init" },
    Program { name: "systemd-nspawn", package: "systemd-container" },
    Program { name: "ip", package: "iproute2" },
    Program { name: "nsenter", package: "util-linux" },
    Program { name: "curl", package: "curl" },
    Program { name: "xz", package: "xz-utils" },
];
/// For packages of Debian.
pub const DEB: &[Program] =
    &[Program { name: "apt-get", package: "apt" }, Program { name: "dpkg-deb", package: "dpkg" }];
/// For packages of Amazon Linux.
pub const RPM: &[Program] = &[
    Program { name: "dnf", package: "dnf" },
    Program { name: "rpmbuild", package: "rpm" },
    Program { name: "createrepo_c", package: "createrepo-c" },
];

/// Whether all of `programs` are there and the test is root; see [`missing`] for when they are not.
pub fn met(test: &str, programs: &[&[Program]]) -> bool {
    if !nix::unistd::geteuid().is_root() {
        missing(test, "root, for namespaces and mounts");
        return false;
    }
    are_there(test, programs)
}

/// Whether all of `programs` are there; see [`missing`] for when they are not.
pub fn are_there(test: &str, programs: &[&[Program]]) -> bool {
    let absent: Vec<String> = programs
        .iter()
        .flat_map(|group| group.iter())
        .filter(|program| find(program.name).is_none())
        .map(|program| format!("{} (apt-get install {})", program.name, program.package))
        .collect();
    if !absent.is_empty() {
        missing(test, &absent.join(", "));
    }
    absent.is_empty()
}

/// Says what a test cannot do without: a failure under `CI=true`; elsewhere the test is passed over, which is said
/// on standard error even when the test harness keeps output to itself.
pub fn missing(test: &str, need: &str) {
    let sentence = format!("{test} needs {need}");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{sentence}");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {sentence}");
}

/// The path of a program.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .map(|folder| folder.join(name))
        .find(|path| Path::is_file(path))
}
