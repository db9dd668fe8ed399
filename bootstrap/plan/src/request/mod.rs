//! The request: what the operator wants on the instance, as the text that travels behind the ELF.
//!
//! ```text
//! pitcrew-bootstrap 1
//! deadline 900
//! package x86_64 rpm https://packages.example.com/pitcrew-0.1.0.x86_64.rpm <sha-256>
//! ssm 3.3.1230.0
//! codedeploy 2
//! pin linux_amd64/amazon-ssm-agent.rpm <sha-256>
//! config :max_revisions: 2
//! tag pitcrew%3Aready true
//! ```
//!
//! One `key value` per line, in any order after the first line; bytes are ASCII, a line ends in
//! one line feed. [`Request::parse`] refuses a key or a value that it does not know, and names the
//! line; the renderer reads back what it writes in this way, so that the payload
//! ([`Request::accept`]) looks at the first line only. The payload is given the text as the file
//! that its first argument names, or finds it in its own executable file, right behind the last
//! byte of the ELF's last segment.
//!
//! | key | value | default |
//! |---|---|---|
//! | `deadline` | seconds for the whole run | 900 |
//! | `pace` | milliseconds: the unit of back-off, polls and IMDS timeouts | 1000 |
//! | `package` | architecture, kind (`deb`, `rpm`), URL, SHA-256 of Pitcrew's own package; repeats | none |
//! | `ssm` | version to install where the agent is missing, or `ensure`: start what the image has | left alone |
//! | `codedeploy` | `2`, `1`, or `ensure` | left alone |
//! | `pin` | end of an object's key in S3, and the SHA-256 it must have; repeats | none |
//! | `config` | one line of `codedeployagent.yml`; repeats; written before the first start | file left alone |
//! | `tag` | key and value, percent-encoded as in a form, set last; repeats | none |
//! | `imds` | IPv4 address and port of the metadata service | `169.254.169.254:80` |
//! | `s3` | base URL for path-style S3 (interface endpoint), for both agents' buckets | `https://s3.$2.$3` |
//! | `ec2` | base URL of the EC2 API (interface endpoint) | `https://ec2.$2.$3` |
//! | `ca` | file with the certificate authorities to trust instead of the system's | the system's |
//! | `root` | directory put before every path the payload reads or writes | none |
//!
//! In the base URLs `$2` stands for the region and `$3` for the region's DNS suffix.

mod draft;
#[cfg(test)]
mod tests;

pub use draft::{Draft, Unspeakable};

use crate::{
    distribution::{Arch, PackageKind},
    text::{Text, cut, has_word, lines, number, value_of},
};

/// The first line: the name of the format and its version.
pub const HEADER: &[u8] = b"pitcrew-bootstrap 1";

/// A request, borrowing its text. Each value is looked up when it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    text: &'a [u8],
}

/// What to do about the SSM agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SsmAgent<'a> {
    /// Nothing.
    Leave,
    /// Enable and start what the image has; its absence is a failure.
    Ensure,
    /// The same, and install this version where the image has none.
    Install {
        /// Version as in the agent's bucket, `3.3.1230.0`.
        version: &'a [u8],
    },
}

/// What to do about the CodeDeploy agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeDeployAgent {
    /// Nothing.
    Leave,
    /// Enable and start what the image has; its absence is a failure.
    Ensure,
    /// Version 1.x, by the bucket's manifest.
    V1,
    /// Version 2.x by its own installer, where the region has it, else 1.x.
    V2,
}

/// Where the services are. Empty means the public address by region and domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoints<'a> {
    /// `address:port` of the metadata service.
    pub imds: &'a [u8],
    /// Base URL for path-style S3, without a last slash; empty for the regional one.
    pub s3: &'a [u8],
    /// Base URL of the EC2 API, without a last slash; empty for the regional one.
    pub ec2: &'a [u8],
}

/// One of Pitcrew's own packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Package<'a> {
    /// Architecture it runs on.
    pub arch: Arch,
    /// Its format.
    pub kind: PackageKind,
    /// Where it is.
    pub url: &'a [u8],
    /// SHA-256 as 64 lower-case hexadecimal digits.
    pub sha256: &'a [u8],
}

/// The digest that a downloaded object must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin<'a> {
    /// End of the object's key, `linux_amd64/amazon-ssm-agent.rpm`.
    pub key: &'a [u8],
    /// SHA-256 as 64 lower-case hexadecimal digits.
    pub sha256: &'a [u8],
}

/// A tag, percent-encoded as it stands in the form of `CreateTags`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag<'a> {
    /// Key.
    pub key: &'a [u8],
    /// Value.
    pub value: &'a [u8],
}

/// Why a request cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The first line is another one.
    #[error("the request does not begin with `pitcrew-bootstrap 1`; render it with the same version as the payload")]
    Header,
    /// A line's key or value is not understood.
    #[error("line {line} of the request is not understood")]
    Line {
        /// Counted from 1.
        line: u32,
    },
}

impl<'a> Request<'a> {
    /// Reads a request, every line of which must be understood.
    ///
    /// # Errors
    /// [`Flaw::Header`] when it is of another version, [`Flaw::Line`] for a line that is not
    /// understood.
    pub fn parse(text: &'a [u8]) -> Result<Self, Flaw> {
        let request = Self::accept(text).ok_or(Flaw::Header)?;
        match (1..).zip(lines(text)).skip(1).find(|(_, entry)| !is_understood(entry)) {
            None => Ok(request),
            Some((line, _)) => Err(Flaw::Line { line }),
        }
    }

    /// Takes a request that the renderer has read with [`Request::parse`], as the payload does:
    /// only its version is looked at. `None` when it is another one.
    pub fn accept(text: &'a [u8]) -> Option<Self> {
        (cut(text, b'\n').0 == HEADER).then_some(Self { text })
    }

    /// Seconds for the whole run.
    pub fn deadline_s(&self) -> u32 {
        self.number(b"deadline", 900)
    }

    /// Milliseconds: the unit of back-off, polls and IMDS timeouts.
    pub fn pace_ms(&self) -> u32 {
        self.number(b"pace", 1000)
    }

    /// What to do about the SSM agent.
    pub fn ssm(&self) -> SsmAgent<'a> {
        self.entry(b"ssm", 0).map_or(SsmAgent::Leave, SsmAgent::parse)
    }

    /// What to do about the CodeDeploy agent.
    pub fn codedeploy(&self) -> CodeDeployAgent {
        self.entry(b"codedeploy", 0).and_then(CodeDeployAgent::parse).unwrap_or(CodeDeployAgent::Leave)
    }

    /// Where the services are.
    pub fn endpoints(&self) -> Endpoints<'a> {
        Endpoints { imds: self.imds(), s3: self.value(b"s3"), ec2: self.value(b"ec2") }
    }

    /// `address:port` of the metadata service.
    pub fn imds(&self) -> &'a [u8] {
        self.entry(b"imds", 0).unwrap_or(b"169.254.169.254:80")
    }

    /// File with certificate authorities to trust instead of the system's; empty for the system's.
    pub fn ca(&self) -> &'a [u8] {
        self.value(b"ca")
    }

    /// Directory put before every path; empty for the real root.
    pub fn root(&self) -> &'a [u8] {
        self.value(b"root")
    }

    /// The value of `key`, empty where it is not given.
    pub(crate) fn value(&self, key: &[u8]) -> &'a [u8] {
        self.entry(key, 0).unwrap_or_default()
    }

    fn number(&self, key: &[u8], usual: u32) -> u32 {
        number(self.value(key)).unwrap_or(usual)
    }

    /// The value of the `index`th line, counted from 0, with this key.
    fn entry(&self, wanted: &[u8], index: usize) -> Option<&'a [u8]> {
        value_of(self.text, b' ', wanted, index)
    }

    fn entries(&self, wanted: &'static [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let request = *self;
        (0..).map_while(move |index| request.entry(wanted, index))
    }

    /// Whether there is a line with this key.
    pub(crate) fn has(&self, key: &[u8]) -> bool {
        self.entry(key, 0).is_some()
    }

    /// Pitcrew's package for machines of this architecture with packages of this kind.
    pub(crate) fn package(&self, arch: Arch, kind: PackageKind) -> Option<Package<'a>> {
        let mut room = [0; 16];
        let mut begin = Text::new(&mut room);
        begin.fill(b"$1 $2 ", &[arch.name(), kind.name()]);
        self.entries(b"package").find_map(|value| {
            let (url, sha256) = cut(value.strip_prefix(begin.bytes())?, b' ');
            Some(Package { arch, kind, url, sha256 })
        })
    }

    /// Pitcrew's own packages, of all architectures and kinds that travel along.
    pub fn packages(&self) -> impl Iterator<Item = Package<'a>> + use<'a> {
        self.entries(b"package").filter_map(Package::parse)
    }

    /// Digests that downloads must have.
    pub fn pins(&self) -> impl Iterator<Item = Pin<'a>> + use<'a> {
        self.entries(b"pin").map(|value| {
            let (key, sha256) = cut(value, b' ');
            Pin { key, sha256 }
        })
    }

    /// The digest that the object at `url` must have, where one is pinned.
    pub fn pinned(&self, url: &[u8]) -> Option<&'a [u8]> {
        self.pins().find(|pin| url.ends_with(pin.key)).map(|pin| pin.sha256)
    }

    /// Tags to set last, all in one call.
    pub fn tags(&self) -> impl Iterator<Item = Tag<'a>> + use<'a> {
        self.entries(b"tag").map(|value| {
            let (key, value) = cut(value, b' ');
            Tag { key, value }
        })
    }

    /// Lines of the CodeDeploy agent's configuration file; none leaves the file alone.
    pub fn agent_config(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.entries(b"config")
    }
}

fn is_understood(entry: &[u8]) -> bool {
    let (key, value) = cut(entry, b' ');
    !value.is_empty()
        && match key {
            b"deadline" | b"pace" => number(value).is_some(),
            b"codedeploy" => CodeDeployAgent::parse(value).is_some(),
            b"package" => Package::parse(value).is_some(),
            key => has_word(b"ssm imds s3 ec2 ca root pin tag config", key),
        }
}

impl<'a> SsmAgent<'a> {
    fn parse(value: &'a [u8]) -> Self {
        match value {
            b"ensure" => Self::Ensure,
            version => Self::Install { version },
        }
    }
}

impl CodeDeployAgent {
    fn parse(value: &[u8]) -> Option<Self> {
        match value {
            b"ensure" => Some(Self::Ensure),
            b"1" => Some(Self::V1),
            b"2" => Some(Self::V2),
            _ => None,
        }
    }
}

impl<'a> Package<'a> {
    fn parse(value: &'a [u8]) -> Option<Self> {
        let (arch, rest) = cut(value, b' ');
        let (kind, rest) = cut(rest, b' ');
        let (url, sha256) = cut(rest, b' ');
        Some(Self { arch: Arch::parse(arch)?, kind: PackageKind::parse(kind)?, url, sha256 })
    }
}
