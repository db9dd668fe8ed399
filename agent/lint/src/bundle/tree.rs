//! Finds the files below a bundle's directory, as CodeDeploy packs them; what is in them is read when a rule asks.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{File, ReadError};

/// More than any script or appspec has.
const LONGEST_SCRIPT: u64 = 1 << 20;
const DEEPEST: usize = 32;
/// More than any bundle has, and what a home directory or `/` soon has.
const MOST: usize = 100_000;

pub(super) fn read(directory: &Path) -> Result<BTreeMap<String, File>, ReadError> {
    let mut files = BTreeMap::new();
    below(directory, "", 0, &mut files)?;
    if files.len() > MOST {
        return Err(ReadError {
            path: directory.to_owned(),
            source: io::Error::other(
                "it holds more files than a bundle does; name the bundle's directory, the one that holds appspec.yml",
            ),
        });
    }
    Ok(files)
}

fn below(directory: &Path, prefix: &str, depth: usize, files: &mut BTreeMap<String, File>) -> Result<(), ReadError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ReadError { path, source }
    };
    if depth > DEEPEST {
        return Err(failed(directory)(io::Error::other(
            "its directories are nested too deep, or a link leads in a circle",
        )));
    }
    for entry in fs::read_dir(directory).map_err(failed(directory))? {
        if files.len() > MOST {
            return Ok(());
        }
        let entry = entry.map_err(failed(directory))?;
        let path = entry.path();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if name == ".git" {
            continue;
        }
        // Links are followed, as they are when a bundle is packed from a working directory; one that leads nowhere
        // is as good as missing.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_dir() {
            below(&path, &format!("{name}/"), depth + 1, files)?;
        } else if metadata.is_file() {
            // Who packs the bundle must be able to read it all.
            fs::File::open(&path).map_err(failed(&path))?;
            let is_executable = metadata.permissions().mode() & 0o111 != 0;
            files.insert(name, File { is_executable, path, start: OnceCell::new() });
        }
    }
    Ok(())
}

/// The start of a file; nothing of one that has gone meanwhile.
pub(super) fn start(path: &Path) -> Vec<u8> {
    let mut start = Vec::new();
    match fs::File::open(path).and_then(|file| file.take(LONGEST_SCRIPT).read_to_end(&mut start)) {
        Ok(_) => start,
        Err(_) => Vec::new(),
    }
}
