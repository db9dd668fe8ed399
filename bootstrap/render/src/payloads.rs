//! Finds the installers that the build has left for each architecture.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use pitcrew_plan::distribution::Arch;

use crate::arch_name;
use crate::elf::{ElfError, Installer};

/// Where packages put the installers.
pub const INSTALLED: &str = "/usr/lib/pitcrew/payload";
const FILE: &str = "pitcrew-bootstrap";

/// Why there is no installer.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// It is nowhere.
    #[error(
        "there is no installer for {arch} at {}; build it with bootstrap/payload/build {arch}, or name its folder with --payload-dir",
        list(searched)
    )]
    NotFound {
        /// Architecture.
        arch: &'static str,
        /// Files looked for.
        searched: Vec<PathBuf>,
    },
    /// It cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not what its name says.
    #[error("`{path}` is no installer for {arch}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Architecture.
        arch: &'static str,
        /// Why.
        #[source]
        source: ElfError,
    },
}

/// The installer for `arch`, from `folder` alone if given, else from [`INSTALLED`], else from the build's target
/// directory.
///
/// # Errors
/// [`PayloadError`], naming the files and the command that builds them.
pub fn find(arch: Arch, folder: Option<&Path>) -> Result<Installer, PayloadError> {
    let folders = match folder {
        Some(folder) => vec![folder.to_owned()],
        None => std::iter::once(PathBuf::from(INSTALLED)).chain(built()).collect(),
    };
    let searched: Vec<_> = folders.iter().map(|folder| folder.join(arch_name(arch)).join(FILE)).collect();
    for path in &searched {
        match fs::read(path) {
            Ok(bytes) => {
                return Installer::new(arch, &bytes).map_err(|source| PayloadError::Unusable {
                    path: path.clone(),
                    arch: arch_name(arch),
                    source,
                });
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(PayloadError::Read { path: path.clone(), source }),
        }
    }
    Err(PayloadError::NotFound { arch: arch_name(arch), searched })
}

/// `payload` beside the folder in which cargo put this program, for those who run it from the source tree.
fn built() -> impl Iterator<Item = PathBuf> {
    let program = std::env::current_exe().unwrap_or_default();
    let folders: Vec<_> = program.ancestors().skip(1).take(3).map(|folder| folder.join("payload")).collect();
    folders.into_iter().filter(|folder| folder.is_dir())
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::tests::executable;

    #[test]
    fn missing_installer_names_the_file_and_the_command_that_builds_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = find(Arch::Aarch64, Some(folder.path())).unwrap_err().to_string();
        assert!(error.contains(&folder.path().join("aarch64/pitcrew-bootstrap").display().to_string()), "{error}");
        assert!(error.contains("bootstrap/payload/build aarch64"), "{error}");
    }

    #[test]
    fn installer_filed_under_the_wrong_architecture_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("x86_64")).unwrap();
        fs::write(folder.path().join("x86_64").join(FILE), executable(Arch::Aarch64, b"code")).unwrap();
        let error = find(Arch::X86_64, Some(folder.path())).unwrap_err();
        assert!(matches!(error, PayloadError::Unusable { source: ElfError::OtherMachine, .. }), "{error}");
        assert!(find(Arch::Aarch64, Some(folder.path())).is_err());
    }
}
