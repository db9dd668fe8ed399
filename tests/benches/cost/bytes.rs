//! What has to be stored and carried: the binary, packages, user data.

use std::path::Path;
use std::process::Command;

use crate::report::Table;
use crate::tests::cargo;
use crate::{count, explain};

/// Where `packaging/build` leaves its packages, or `PITCREW_PACKAGES`.
const BUILT: &str = "../built";

pub(crate) fn bytes() -> Table {
    explain("the user data is packed");
    let mut table = Table::new("bytes", &["bytes"]);
    let folder =
        std::env::var("PITCREW_PACKAGES").unwrap_or_else(|_| format!("{}/{BUILT}", env!("CARGO_MANIFEST_DIR")));
    let mut packages: Vec<_> = std::fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok).collect();
    packages.sort_by_key(std::fs::DirEntry::file_name);
    packages.retain(|entry| entry.path().extension().is_some_and(|kind| kind == "deb" || kind == "rpm"));
    for package in &packages {
        table.row(&package.file_name().to_string_lossy(), [size(&package.path())]);
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

fn size(path: &Path) -> f64 {
    count(std::fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).len())
}
