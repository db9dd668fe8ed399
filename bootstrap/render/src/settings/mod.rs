//! `bootstrap.toml`, validated: what is in [`Settings`] needs no second look.

mod check;
mod fragment;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pitcrew_plan::distribution::{Arch, Distribution, PackageKind};

use check::Checker;
use fragment::Fragment;

/// What every instance of the group is to have, as `bootstrap.toml` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Distributions that the group's images run, with their short names; empty for any.
    pub systems: Vec<(&'static str, Distribution)>,
    /// For the whole run on the instance.
    pub deadline: Duration,
    /// Unit of back-off and polls on the instance.
    pub pace: Duration,
    /// Directory put before every path on the instance; empty for the real root.
    pub root: String,
    /// Pitcrew's own packages.
    pub packages: Vec<Package>,
    /// The SSM agent; `None` leaves it alone.
    pub ssm: Option<Ssm>,
    /// The CodeDeploy agent; `None` leaves it alone.
    pub codedeploy: Option<CodeDeploy>,
    /// Tags by key, as they are to be read in the console.
    pub tags: BTreeMap<String, String>,
    /// Where the services are, when not at their public addresses.
    pub endpoints: Endpoints,
}

/// One of Pitcrew's own packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Machine that it runs on.
    pub arch: Arch,
    /// Its format, by the end of its URL.
    pub kind: PackageKind,
    /// Where the instance fetches it.
    pub url: String,
    /// SHA-256, 64 lower-case hexadecimal digits; `None` to take it from the file at render time.
    pub sha256: Option<String>,
}

/// What to do about the SSM agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ssm {
    /// Enable and start what the image has.
    Ensure,
    /// The same, and install it where the image has none.
    Install {
        /// Which version.
        version: SsmVersion,
        /// Base URL of the agent's bucket, from which digests are taken at render time.
        source: String,
        /// Files with public keys trusted besides the shipped one.
        signing_keys: Vec<PathBuf>,
        /// Digests known beforehand, by the end of the object's key (`linux_amd64/amazon-ssm-agent.rpm`).
        sha256: BTreeMap<String, String>,
    },
}

/// Version of the SSM agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SsmVersion {
    /// Whatever the bucket calls its latest at render time.
    Latest,
    /// This one, `3.3.3050.0`.
    Exact(String),
}

/// What to do about the CodeDeploy agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeDeploy {
    /// Which one.
    pub version: CodeDeployVersion,
    /// Lines of `codedeployagent.yml`; none leaves the file alone.
    pub config: Vec<String>,
    /// Digests by the end of the object's key.
    pub sha256: BTreeMap<String, String>,
}

/// Version of the CodeDeploy agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeDeployVersion {
    /// Enable and start what the image has.
    Ensure,
    /// 1.x.
    V1,
    /// 2.x, or 1.x in regions that lack it.
    V2,
}

/// Service addresses; empty for the public ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// `address:port` of the metadata service.
    pub imds: String,
    /// Base URL for path-style S3.
    pub s3: String,
    /// Base URL of the EC2 API.
    pub ec2: String,
    /// File on the instance with the authorities to trust instead of the system's.
    pub ca: String,
}

/// Why `bootstrap.toml` is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A key or a value is wrong.
    #[error("{path}:{line}: {message}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Key, what is wrong with it, and what to write instead.
        message: String,
    },
}

impl Settings {
    /// Reads and validates the file at `path`.
    ///
    /// # Errors
    /// [`SettingsError`]: unreadable, not TOML, an unknown key, or a value out of its range.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        let text = fs::read_to_string(path).map_err(|source| SettingsError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Validates the `text` of the file at `path`; other files are named relative to it.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, SettingsError> {
        let invalid = |offset: usize, message: String| SettingsError::Invalid {
            path: path.to_owned(),
            line: 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count(),
            message,
        };
        let fragment: Fragment = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let quoted = if error.message().starts_with("unknown field") { String::new() } else { quoted(text, at) };
            invalid(at, format!("{quoted}{}", error.message()))
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Checker { folder }.settings(fragment).map_err(|flaw| invalid(flaw.offset, flaw.message))
    }
}

/// What stands at `offset`: the line's key, or what opens its section.
fn quoted(text: &str, offset: usize) -> String {
    let begin = text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let line = text.get(begin..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    format!("`{}`: ", line.split('=').next().unwrap_or_default().trim())
}

#[cfg(test)]
mod tests;
