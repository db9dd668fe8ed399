//! What has to be stored and carried: the binary, packages, user data.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::report::Table;
use crate::tests::cargo;
use crate::{count, explain};

const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];

pub(crate) fn bytes() -> Table {
    explain("the user data is packed");
    let mut table = Table::new("bytes", &["bytes"]);
    for arch in ARCHITECTURES {
        if let Some(binary) = packaged(arch) {
            table.row(&format!("pitcrew, {arch}"), [size(&binary)]);
        }
    }
    let mut packages: Vec<_> = std::fs::read_dir(target().join("packages")).into_iter().flatten().flatten().collect();
    packages.sort_by_key(std::fs::DirEntry::file_name);
    for package in &packages {
        let (name, path) = (package.file_name().to_string_lossy().into_owned(), package.path());
        let kind = path.extension().unwrap_or_default();
        // Tests of upgrades leave packages of other versions there.
        if (kind == "deb" || kind == "rpm") && name.contains(env!("CARGO_PKG_VERSION")) {
            table.row(&name, [size(&path)]);
        }
    }
    if packages.is_empty() {
        table.note("packages: none were built; `packaging/build` builds them".to_owned());
    }
    let test =
        ["test", "--workspace", "--locked", "--test", "bootstrap_payload", "--", "--nocapture", "a_complete_request"];
    for line in cargo(Command::new("cargo").args(test)).lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        if let ["user", "data", total] = words[..] {
            table.row("user data of a complete request, of 16384", [total.parse().unwrap()]);
        }
    }
    table
}

/// What `packaging/build` has put into its packages for this architecture.
pub(crate) fn packaged(arch: &str) -> Option<PathBuf> {
    // What is compiled for another architecture lies in a folder of its own.
    let folder = if arch == std::env::consts::ARCH { target() } else { target().join(arch) };
    Some(folder.join(format!("{arch}-unknown-linux-gnu/dist/pitcrew"))).filter(|binary| binary.exists())
}

/// Where cargo builds.
fn target() -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"))
}

fn size(path: &Path) -> f64 {
    count(std::fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).len())
}
