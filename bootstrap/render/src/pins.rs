//! Decides which digests travel with the request, and takes those that are not given from signed files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pitcrew_plan::distribution::{Arch, PackageKind};
use ring::digest;

use crate::arch_name;
use crate::fetch::{Fetch, FetchError, Progress};
use crate::openpgp::{self, PublicKey, SignatureError};
use crate::settings::{Package, Settings, Ssm, SsmVersion};
use crate::time::calendar_date;

/// Amazon's public key for SSM agent packages, valid from 2026-06-04 to 2027-11-25; newer ones are named by
/// `ssm.signing_keys`.
const SHIPPED_KEY: &[u8] = include_bytes!("../keys/amazon-ssm-agent.asc");

/// Settings with nothing left to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// Pitcrew's packages for the architectures asked for, each with its digest.
    pub packages: Vec<(Package, String)>,
    /// The SSM agent's version, where one may be installed.
    pub ssm_version: Option<String>,
    /// Digests of other objects, by the end of their keys.
    pub objects: BTreeMap<String, String>,
}

/// Something to tell the operator while digests are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News<'a> {
    /// A download goes on.
    Fetching {
        /// What is fetched.
        url: &'a str,
        /// How far it is.
        progress: Progress,
    },
    /// `ssm.version = "latest"` means this today.
    Latest {
        /// The version.
        version: &'a str,
    },
    /// A signature held.
    Verified {
        /// The file that is signed.
        url: &'a str,
        /// When, by whom, and how well.
        signature: &'a openpgp::Verified,
    },
    /// A digest was taken from a file; with these lines in `bootstrap.toml` it is not fetched again.
    Pinned {
        /// Table of `bootstrap.toml`.
        table: &'a str,
        /// Key in that table.
        key: &'a str,
        /// SHA-256.
        sha256: &'a str,
    },
}

/// Why digests could not be pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// Offline, and a digest is not given.
    #[error("offline, and no digest is given for {what}; add {add} to the file, or render once without --offline")]
    Offline {
        /// What it would be the digest of.
        what: String,
        /// Where to write it.
        add: String,
    },
    /// No package fits a system that the group is said to run.
    #[error("no [[package]] is a .{kind} for {arch}, which {system} needs; add one, or take {system} out of systems")]
    NoPackage {
        /// `deb` or `rpm`.
        kind: &'static str,
        /// Architecture.
        arch: &'static str,
        /// Short name of the system.
        system: &'static str,
    },
    /// A download failed.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A public key is not usable.
    #[error("the signing key `{path}`")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
    /// A package is not what Amazon signed.
    #[error("the signature of {url}")]
    Signature {
        /// The package.
        url: String,
        /// What is wrong with it.
        #[source]
        source: Box<SignatureError>,
    },
    /// The bucket's idea of its latest version is no version.
    #[error("{url} does not hold a version; write the wanted one as ssm.version")]
    Latest {
        /// What was asked.
        url: String,
    },
}

/// What is wrong with a public key's file.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] std::io::Error),
    /// It is none.
    #[error(transparent)]
    Parse(#[from] Box<SignatureError>),
}

/// Pins every digest that instances of `archs` need.
///
/// # Errors
/// [`PinError`]: a download, a signature, a missing package, or a digest missing while `offline`.
pub async fn pin(
    settings: &Settings,
    archs: &[Arch],
    offline: bool,
    fetch: &impl Fetch,
    tell: &mut dyn FnMut(News<'_>),
) -> Result<Pinned, PinError> {
    let mut pinner = Pinner { offline, fetch, tell };
    let packages = pinner.packages(settings, archs).await?;
    let mut objects = settings.codedeploy.as_ref().map_or_else(BTreeMap::new, |agent| agent.sha256.clone());
    let ssm_version = match &settings.ssm {
        None | Some(Ssm::Ensure) => None,
        Some(Ssm::Install { version, source, signing_keys, sha256 }) => {
            let version = pinner.version(version, source).await?;
            let keys = keys(signing_keys)?;
            for platform in ssm_platforms(settings, archs) {
                let sha256 = match sha256.get(&platform) {
                    Some(given) => given.clone(),
                    None => pinner.ssm_digest(&format!("{source}/{version}/{platform}"), &platform, &keys).await?,
                };
                objects.insert(platform, sha256);
            }
            Some(version)
        }
    };
    Ok(Pinned { packages, ssm_version, objects })
}

/// The ends of the keys of the SSM agent's packages that some instance may install.
///
/// Ubuntu takes the snap; its `.deb` is for images without snapd, and then nothing else would do.
fn ssm_platforms(settings: &Settings, archs: &[Arch]) -> Vec<String> {
    let mut platforms = Vec::new();
    for &arch in archs {
        for kind in kinds(settings) {
            platforms.push(format!("{}/amazon-ssm-agent.{}", ascii(arch.ssm_platform(kind)), ascii(kind.name())));
        }
    }
    platforms
}

/// Package formats of the group's systems.
fn kinds(settings: &Settings) -> Vec<PackageKind> {
    let both = [PackageKind::Rpm, PackageKind::Deb].into_iter();
    both.filter(|kind| {
        settings.systems.is_empty() || settings.systems.iter().any(|(_, system)| system.package_kind() == *kind)
    })
    .collect()
}

fn ascii(name: &'static [u8]) -> &'static str {
    str::from_utf8(name).unwrap_or_default()
}

/// The shipped key and those that the operator trusts besides.
fn keys(files: &[PathBuf]) -> Result<Vec<PublicKey>, PinError> {
    let failed = |path: &Path, source: KeyError| PinError::Key { path: path.to_owned(), source };
    let shipped = PublicKey::parse(SHIPPED_KEY)
        .map_err(|source| failed(Path::new("amazon-ssm-agent.asc"), Box::new(source).into()))?;
    let mut keys = vec![shipped];
    for path in files {
        let file = fs::read(path).map_err(|source| failed(path, source.into()))?;
        keys.push(PublicKey::parse(&file).map_err(|source| failed(path, Box::new(source).into()))?);
    }
    Ok(keys)
}

impl Pinned {
    /// The same settings with digests of zeros, for those who only ask what would be done.
    pub(crate) fn without_digests(settings: &Settings) -> Self {
        let zeros = "0".repeat(64);
        Self {
            packages: settings.packages.iter().map(|package| (package.clone(), zeros.clone())).collect(),
            ssm_version: match &settings.ssm {
                None | Some(Ssm::Ensure) => None,
                Some(Ssm::Install { version: SsmVersion::Latest, .. }) => Some("latest".to_owned()),
                Some(Ssm::Install { version: SsmVersion::Exact(version), .. }) => Some(version.clone()),
            },
            objects: BTreeMap::new(),
        }
    }
}

struct Pinner<'a, F> {
    offline: bool,
    fetch: &'a F,
    tell: &'a mut dyn FnMut(News<'_>),
}

impl<F: Fetch> Pinner<'_, F> {
    async fn packages(&mut self, settings: &Settings, archs: &[Arch]) -> Result<Vec<(Package, String)>, PinError> {
        let wanted = |package: &&Package| archs.contains(&package.arch) && kinds(settings).contains(&package.kind);
        if !settings.packages.is_empty() {
            for &(system, distribution) in &settings.systems {
                for &arch in archs {
                    let kind = distribution.package_kind();
                    if !settings.packages.iter().any(|package| package.arch == arch && package.kind == kind) {
                        return Err(PinError::NoPackage { kind: ascii(kind.name()), arch: arch_name(arch), system });
                    }
                }
            }
        }
        let mut pinned = Vec::new();
        for package in settings.packages.iter().filter(wanted) {
            let sha256 = match &package.sha256 {
                Some(given) => given.clone(),
                None => self.package_digest(&package.url).await?,
            };
            pinned.push((package.clone(), sha256));
        }
        Ok(pinned)
    }

    async fn package_digest(&mut self, url: &str) -> Result<String, PinError> {
        if self.offline {
            return Err(PinError::Offline { what: url.to_owned(), add: "its sha256 to the [[package]]".to_owned() });
        }
        let sha256 = sha256(&self.download(url).await?);
        (self.tell)(News::Pinned { table: "[[package]]", key: "sha256", sha256: &sha256 });
        Ok(sha256)
    }

    async fn version(&mut self, version: &SsmVersion, source: &str) -> Result<String, PinError> {
        match version {
            SsmVersion::Exact(version) => Ok(version.clone()),
            SsmVersion::Latest if self.offline => Err(PinError::Offline {
                what: "the latest SSM agent".to_owned(),
                add: "a version such as ssm.version = \"3.3.3050.0\"".to_owned(),
            }),
            SsmVersion::Latest => {
                let url = format!("{source}/latest/VERSION");
                let file = self.download(&url).await?;
                let version = str::from_utf8(&file).map(str::trim).unwrap_or_default();
                if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
                    return Err(PinError::Latest { url });
                }
                (self.tell)(News::Latest { version });
                Ok(version.to_owned())
            }
        }
    }

    /// The digest of the package at `url`, once its detached signature holds.
    async fn ssm_digest(&mut self, url: &str, platform: &str, keys: &[PublicKey]) -> Result<String, PinError> {
        const TABLE: &str = "[ssm.sha256]";
        if self.offline {
            let add = format!("\"{platform}\" = \"…\" under {TABLE}");
            return Err(PinError::Offline { what: url.to_owned(), add });
        }
        let package = self.download(url).await?;
        let signature = self.download(&format!("{url}.sig")).await?;
        let verified = openpgp::verify(keys, &signature, &package)
            .map_err(|source| PinError::Signature { url: url.to_owned(), source: Box::new(source) })?;
        (self.tell)(News::Verified { url, signature: &verified });
        let sha256 = sha256(&package);
        (self.tell)(News::Pinned { table: TABLE, key: platform, sha256: &sha256 });
        Ok(sha256)
    }

    async fn download(&mut self, url: &str) -> Result<Vec<u8>, FetchError> {
        let tell = &mut *self.tell;
        self.fetch.fetch(url, &mut |progress| tell(News::Fetching { url, progress })).await
    }
}

fn sha256(file: &[u8]) -> String {
    openpgp::hex(digest::digest(&digest::SHA256, file).as_ref()).to_ascii_lowercase()
}

impl std::fmt::Display for News<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fetching { url, progress: Progress { received, total: Some(total) } } => {
                write!(f, "fetching {url}: {} of {} KiB", received >> 10, total >> 10)
            }
            Self::Fetching { url, progress: Progress { received, total: None } } => {
                write!(f, "fetching {url}: {} KiB", received >> 10)
            }
            Self::Latest { version } => write!(f, "latest SSM agent is {version}"),
            Self::Verified { url, signature } => {
                let openpgp::Verified { signed_at, fingerprint, user_id, weak_hash } = signature;
                write!(f, "{url}: signed on {} by {user_id}, key {fingerprint}", calendar_date(*signed_at))?;
                if *weak_hash { f.write_str("; warning: over SHA-1, a weak hash") } else { Ok(()) }
            }
            Self::Pinned { table, key, sha256 } => write!(f, "pinned; to keep it: {table} {key:?} = \"{sha256}\""),
        }
    }
}

#[cfg(test)]
mod tests;
