//! Writes a request: what the renderer states becomes text that is read back as just that.

use super::{CodeDeployAgent, Endpoints, HEADER, Package, Pin, Request, SsmAgent, Tag};
use crate::text::Text;

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
