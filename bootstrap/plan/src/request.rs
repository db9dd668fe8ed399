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

/// A request as the renderer states it; [`Draft::render`] gives the text.
///
/// All texts must be free of line feeds, those that are followed by another one on their line also
/// of spaces, and tags percent-encoded already; [`Draft::render`] refuses what would not be read
/// back as it was stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draft<'a> {
    /// Seconds for the whole run.
    pub deadline_s: u32,
    /// Milliseconds: the unit of back-off, polls and IMDS timeouts.
    pub pace_ms: u32,
    /// What to do about the SSM agent.
    pub ssm: SsmAgent<'a>,
    /// What to do about the CodeDeploy agent.
    pub codedeploy: CodeDeployAgent,
    /// Where the services are.
    pub endpoints: Endpoints<'a>,
    /// File with certificate authorities, or empty.
    pub ca: &'a [u8],
    /// Directory put before every path, or empty.
    pub root: &'a [u8],
    /// Pitcrew's own packages.
    pub packages: &'a [Package<'a>],
    /// Digests of other downloads.
    pub pins: &'a [Pin<'a>],
    /// Lines of the CodeDeploy agent's configuration file.
    pub agent_config: &'a [&'a [u8]],
    /// Tags, percent-encoded.
    pub tags: &'a [Tag<'a>],
}

/// A draft whose text would be read back as something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a value of the request has a space or a line feed where none may be, or the request is longer than its room")]
pub struct Unspeakable;

impl Default for Draft<'_> {
    fn default() -> Self {
        let request = Request { text: HEADER };
        Self {
            deadline_s: request.deadline_s(),
            pace_ms: request.pace_ms(),
            ssm: request.ssm(),
            codedeploy: request.codedeploy(),
            endpoints: request.endpoints(),
            ca: request.ca(),
            root: request.root(),
            packages: &[],
            pins: &[],
            agent_config: &[],
            tags: &[],
        }
    }
}

impl Draft<'_> {
    /// Writes the text; values that equal the default are left out, so that they do not travel.
    ///
    /// # Errors
    /// [`Unspeakable`] when the text, read back, would differ from the draft.
    pub fn render(&self, out: &mut Text<'_>) -> Result<(), Unspeakable> {
        out.clear();
        self.write(out);
        let read_back = Request::parse(out.bytes()).is_ok_and(|request| self.equals(&request));
        if read_back && !out.is_overflowed() { Ok(()) } else { Err(Unspeakable) }
    }

    fn write(&self, out: &mut Text<'_>) {
        let default = Draft::default();
        out.put(HEADER).put(b"\n");
        for (key, value, usual) in
            [(&b"deadline "[..], self.deadline_s, default.deadline_s), (b"pace ", self.pace_ms, default.pace_ms)]
        {
            if value != usual {
                out.put(key).number(value.into()).put(b"\n");
            }
        }
        for package in self.packages {
            out.put(b"package ").put(package.arch.name()).put(b" ").put(package.kind.name());
            out.put(b" ").put(package.url).put(b" ").put(package.sha256).put(b"\n");
        }
        match self.ssm {
            SsmAgent::Leave => {}
            SsmAgent::Ensure => {
                out.put(b"ssm ensure\n");
            }
            SsmAgent::Install { version } => {
                out.put(b"ssm ").put(version).put(b"\n");
            }
        }
        match self.codedeploy {
            CodeDeployAgent::Leave => {}
            CodeDeployAgent::Ensure => {
                out.put(b"codedeploy ensure\n");
            }
            CodeDeployAgent::V1 => {
                out.put(b"codedeploy 1\n");
            }
            CodeDeployAgent::V2 => {
                out.put(b"codedeploy 2\n");
            }
        }
        for pin in self.pins {
            out.put(b"pin ").put(pin.key).put(b" ").put(pin.sha256).put(b"\n");
        }
        for line in self.agent_config {
            out.put(b"config ").put(line).put(b"\n");
        }
        for tag in self.tags {
            out.put(b"tag ").put(tag.key).put(b" ").put(tag.value).put(b"\n");
        }
        for (key, value, usual) in [
            (&b"imds "[..], self.endpoints.imds, default.endpoints.imds),
            (b"s3 ", self.endpoints.s3, default.endpoints.s3),
            (b"ec2 ", self.endpoints.ec2, default.endpoints.ec2),
            (b"ca ", self.ca, default.ca),
            (b"root ", self.root, default.root),
        ] {
            if value != usual {
                out.put(key).put(value).put(b"\n");
            }
        }
    }

    fn equals(&self, request: &Request<'_>) -> bool {
        self.deadline_s == request.deadline_s()
            && self.pace_ms == request.pace_ms()
            && self.ssm == request.ssm()
            && self.codedeploy == request.codedeploy()
            && self.endpoints == request.endpoints()
            && self.ca == request.ca()
            && self.root == request.root()
            && self.packages.iter().copied().eq(request.packages())
            && self.pins.iter().copied().eq(request.pins())
            && self.agent_config.iter().copied().eq(request.agent_config())
            && self.tags.iter().copied().eq(request.tags())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{string::String, vec, vec::Vec};

    const FULL: &[u8] = b"pitcrew-bootstrap 1\n\
        deadline 600\n\
        pace 50\n\
        package x86_64 rpm https://example.com/p.rpm aa\n\
        package aarch64 deb https://example.com/p.deb bb\n\
        ssm 3.3.1230.0\n\
        codedeploy 2\n\
        pin linux_amd64/amazon-ssm-agent.rpm cc\n\
        config :max_revisions: 2\n\
        config :verbose: false\n\
        tag pitcrew%3Aready true\n\
        tag empty \n\
        imds 127.0.0.1:8080\n\
        s3 https://127.0.0.1:1\n\
        ec2 https://127.0.0.1:2\n\
        ca /ca.pem\n\
        root /tmp/r\n";

    #[test]
    fn a_full_request_is_understood() {
        let request = Request::parse(FULL).unwrap();
        assert_eq!((request.deadline_s(), request.pace_ms()), (600, 50));
        assert_eq!(request.ssm(), SsmAgent::Install { version: b"3.3.1230.0" });
        assert_eq!(request.codedeploy(), CodeDeployAgent::V2);
        assert_eq!(request.packages().count(), 2);
        assert_eq!(request.pinned(b"https://x/1/linux_amd64/amazon-ssm-agent.rpm"), Some(&b"cc"[..]));
        assert_eq!(request.pinned(b"https://x/1/linux_arm64/amazon-ssm-agent.rpm"), None);
        assert!(request.agent_config().eq([&b":max_revisions: 2"[..], b":verbose: false"]));
        assert!(
            request.tags().eq([Tag { key: b"pitcrew%3Aready", value: b"true" }, Tag { key: b"empty", value: b"" }])
        );
        assert_eq!(request.endpoints().imds, b"127.0.0.1:8080");
        assert_eq!(request.root(), b"/tmp/r");
    }

    #[test]
    fn a_bare_request_asks_for_nothing() {
        let request = Request::parse(b"pitcrew-bootstrap 1\n").unwrap();
        assert_eq!((request.ssm(), request.codedeploy()), (SsmAgent::Leave, CodeDeployAgent::Leave));
        assert_eq!(request.endpoints().imds, b"169.254.169.254:80");
        assert_eq!(request.tags().count() + request.packages().count() + request.pins().count(), 0);
    }

    #[test]
    fn what_is_not_understood_is_an_error_of_its_line() {
        assert_eq!(Request::parse(b"pitcrew-bootstrap 2\n"), Err(Flaw::Header));
        assert_eq!(Request::parse(b""), Err(Flaw::Header));
        for wrong in ["colour blue", "deadline soon", "codedeploy 3", "package riscv rpm u d", "ssm", "", "deadline 1 "]
        {
            let text: String = ["pitcrew-bootstrap 1\ndeadline 1\n", wrong, "\ndeadline 2\n"].concat();
            assert_eq!(Request::parse(text.as_bytes()), Err(Flaw::Line { line: 3 }), "{wrong:?}");
        }
    }

    #[test]
    fn a_draft_that_would_be_read_back_differently_is_refused() {
        let mut room = [0; 512];
        let mut out = Text::new(&mut room);
        for draft in [
            Draft { ssm: SsmAgent::Install { version: b"ensure" }, ..Draft::default() },
            Draft { ca: b"/a\nroot /b", ..Draft::default() },
            Draft { tags: &[Tag { key: b"a b", value: b"c" }], ..Draft::default() },
            Draft { ca: &[b'x'; 600], ..Draft::default() },
        ] {
            assert_eq!(draft.render(&mut out), Err(Unspeakable), "{draft:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_draft_that_renders_is_read_back_as_it_was(
            numbers in (0u32.., 0u32..),
            version in "[0-9.]{1,12}",
            words in proptest::collection::vec("[!-~]{1,20}", 9),
            config in proptest::collection::vec("[ -~]{1,20}", 0..4),
        ) {
            let bytes: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            let config: Vec<&[u8]> = config.iter().map(|line| line.as_bytes()).collect();
            let &[imds, s3, ec2, ca, root, url, sha256, key, value] = bytes.as_slice() else { unreachable!() };
            let draft = Draft {
                deadline_s: numbers.0,
                pace_ms: numbers.1,
                ssm: SsmAgent::Install { version: version.as_bytes() },
                codedeploy: CodeDeployAgent::V1,
                endpoints: Endpoints { imds, s3, ec2 },
                ca,
                root,
                packages: &[Package { arch: Arch::Aarch64, kind: PackageKind::Deb, url, sha256 }],
                pins: &[Pin { key, sha256 }, Pin { key: url, sha256 }],
                agent_config: &config,
                tags: &[Tag { key, value }],
            };
            let mut room = vec![0; 4096];
            let mut out = Text::new(&mut room);
            proptest::prop_assert_eq!(draft.render(&mut out), Ok(()));
        }

        #[test]
        fn any_bytes_are_read_or_refused(text in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let whole = [HEADER, b"\n", &text].concat();
            for text in [&text, &whole] {
                if let Ok(request) = Request::parse(text) {
                    let _ = (request.packages().count(), request.pins().count(), request.tags().count());
                }
            }
        }
    }
}
