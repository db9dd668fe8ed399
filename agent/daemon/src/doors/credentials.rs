//! Reads secrets: from where systemd puts a unit's credentials, or from files that only their owner can read.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::config::Credential;

/// Where this process finds its secrets.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// `$CREDENTIALS_DIRECTORY`, where the unit has credentials.
    pub directory: Option<PathBuf>,
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The unit has no credentials at all.
    #[error(
        "this process has no credential `{0}`: add LoadCredential={0}:PATH to the unit, or name a file by its path"
    )]
    Absent(String),
    /// It cannot be read.
    #[error("credential `{path}` cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others can read it.
    #[error("credential `{0}` can be read by others (chmod 600)")]
    Open(PathBuf),
}

impl Credentials {
    /// The secret, without the white space around it.
    pub fn read(&self, credential: &Credential) -> Result<String, CredentialError> {
        let name = &credential.0;
        let path = match (Path::new(name), &self.directory) {
            (path, _) if path.is_absolute() => {
                let facts = path.metadata().map_err(|source| CredentialError::Read { path: path.into(), source })?;
                if facts.permissions().mode() & 0o077 != 0 {
                    return Err(CredentialError::Open(path.into()));
                }
                path.to_owned()
            }
            (name, Some(directory)) => directory.join(name),
            (_, None) => return Err(CredentialError::Absent(name.clone())),
        };
        match std::fs::read_to_string(&path) {
            Ok(secret) => Ok(secret.trim().to_owned()),
            Err(source) => Err(CredentialError::Read { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    #[test]
    fn a_secret_comes_from_the_unit_or_from_a_file_of_its_owner() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("token");
        fs::write(&path, "Bearer abc\n").unwrap();
        let read = |credentials: &Credentials, name: &str| {
            let secret = credentials.read(&Credential(name.to_owned()));
            secret.map_err(|error| error.to_string())
        };
        let unit = Credentials { directory: Some(place.path().to_owned()) };
        assert_eq!(read(&unit, "token").as_deref(), Ok("Bearer abc"));
        assert!(read(&unit, "other").unwrap_err().contains("cannot be read"));
        let error = read(&Credentials::default(), "token").unwrap_err();
        assert!(error.contains("LoadCredential=token:PATH"), "{error}");

        let by_path = path.display().to_string();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(read(&unit, &by_path).unwrap_err().contains("chmod 600"));
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read(&unit, &by_path).as_deref(), Ok("Bearer abc"));
    }
}
