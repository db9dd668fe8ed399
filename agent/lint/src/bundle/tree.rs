//! Reads the files below a bundle's directory, as CodeDeploy packs them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{File, ReadError};

/// More than any script or appspec has.
const LONGEST_SCRIPT: u64 = 1 << 20;
const DEEPEST: usize = 32;

pub(super) fn read(directory: &Path) -> Result<BTreeMap<String, File>, ReadError> {
    let mut files = BTreeMap::new();
    below(directory, "", 0, &mut files)?;
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
            let mut start = Vec::new();
            let file = fs::File::open(&path).map_err(failed(&path))?;
            file.take(LONGEST_SCRIPT).read_to_end(&mut start).map_err(failed(&path))?;
            files.insert(name, File { is_executable: metadata.permissions().mode() & 0o111 != 0, start });
        }
    }
    Ok(())
}
