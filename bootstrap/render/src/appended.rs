//! The operator's own user data that travels along.

use std::fs;
use std::path::{Path, PathBuf};

/// A file for cloud-init, of a kind that it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// What cloud-init is to do with it.
    pub kind: Kind,
    /// Its text, ending in a line feed.
    pub text: String,
}

/// What cloud-init does with a file, by the file's first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `#!`: runs it, in the same script as the installer and after it.
    Script,
    /// `#cloud-config`: configures by it.
    CloudConfig,
    /// `#cloud-boothook`: runs it early, on each boot.
    BootHook,
    /// `#include`: fetches more.
    Include,
    /// `## template: jinja`: fills it in, then looks again.
    Template,
}

/// Why a file cannot travel along.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// It cannot be read as text.
    #[error("cannot read `{path}` as text")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// cloud-init would ignore it.
    #[error(
        "`{path}` begins with nothing that cloud-init knows; begin a script with #!/bin/sh, or a configuration with #cloud-config"
    )]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// The kernel would look for an interpreter whose name ends in a carriage return.
    #[error("`{path}` has Windows line ends; convert it, for instance with sed -i 's/\\r$//'")]
    WindowsLines {
        /// The file.
        path: PathBuf,
    },
    /// It holds bytes that no script and no configuration has.
    #[error("`{path}` is not text: it has a zero byte")]
    Binary {
        /// The file.
        path: PathBuf,
    },
}

impl Appended {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`AppendError`] when cloud-init could do nothing with it.
    pub fn load(path: &Path) -> Result<Self, AppendError> {
        let text = fs::read_to_string(path).map_err(|source| AppendError::Read { path: path.to_owned(), source })?;
        Self::new(text, path)
    }

    /// Takes the `text` of the file at `path`.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn new(mut text: String, path: &Path) -> Result<Self, AppendError> {
        let path = || path.to_owned();
        let kind = Kind::of(&text).ok_or_else(|| AppendError::Unknown { path: path() })?;
        if text.contains('\0') {
            return Err(AppendError::Binary { path: path() });
        }
        if text.contains("\r\n") {
            return Err(AppendError::WindowsLines { path: path() });
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Ok(Self { kind, text })
    }
}

impl Kind {
    fn of(text: &str) -> Option<Self> {
        [
            ("#!", Self::Script),
            ("#cloud-config", Self::CloudConfig),
            ("#cloud-boothook", Self::BootHook),
            ("#include", Self::Include),
            ("## template: jinja", Self::Template),
        ]
        .into_iter()
        .find_map(|(start, kind)| text.starts_with(start).then_some(kind))
    }

    /// Its content type in a MIME document.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Script => "text/x-shellscript",
            Self::CloudConfig => "text/cloud-config",
            Self::BootHook => "text/cloud-boothook",
            Self::Include => "text/x-include-url",
            Self::Template => "text/jinja2",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(text: &str) -> Result<Appended, AppendError> {
        Appended::new(text.to_owned(), Path::new("mine"))
    }

    #[test]
    fn first_line_says_what_cloud_init_will_do() {
        assert_eq!(new("#!/bin/sh\ntrue").unwrap(), Appended { kind: Kind::Script, text: "#!/bin/sh\ntrue\n".into() });
        assert_eq!(new("#cloud-config\n").unwrap().kind, Kind::CloudConfig);
        assert_eq!(new("#cloud-boothook\n").unwrap().kind, Kind::BootHook);
    }

    #[test]
    fn what_cloud_init_would_ignore_or_mangle_is_refused() {
        assert!(matches!(new("\n#!/bin/sh\n").unwrap_err(), AppendError::Unknown { .. }));
        assert!(matches!(new("#!/bin/sh\r\ntrue\r\n").unwrap_err(), AppendError::WindowsLines { .. }));
        assert!(matches!(new("#!/bin/sh\n\0").unwrap_err(), AppendError::Binary { .. }));
    }
}
