//! What the bootstrap reads: its request, and replies of servers that it fetches from.

use pitcrew_plan::distribution::{Arch, Distribution, Manager, PackageKind};
use pitcrew_plan::ec2::{Credentials, error_code};
use pitcrew_plan::explain::explain;
use pitcrew_plan::location::{self, codedeploy_v1_package, ipv4};
use pitcrew_plan::request::{Request, SsmAgent};
use pitcrew_plan::retry::create_tags;
use pitcrew_plan::step::{Facts, steps};
use pitcrew_plan::text::Text;
use pitcrew_plan::{http, ssm, transfer};

/// The request behind the installer: the renderer reads all of it, the payload only its first line.
pub(crate) fn request(text: &[u8]) {
    let accepted = Request::accept(text);
    if let Ok(request) = Request::parse(text) {
        assert_eq!(accepted, Some(request), "what the renderer understands, the payload takes");
    }
    // The payload looks up each value without having looked at the lines before.
    let Some(request) = accepted else { return };
    let _ = (request.deadline_s(), request.pace_ms(), request.codedeploy(), request.ca(), request.root());
    let _ = ipv4(request.imds());
    let packages = request.packages().count();
    let (pins, tags, lines) = (request.pins().count(), request.tags().count(), request.agent_config().count());
    assert!(packages + pins + tags + lines <= text.len());
    let mut room = vec![0; 4096];
    for (_, distribution) in Distribution::NAMED.into_iter().step_by(5) {
        for arch in [Arch::X86_64, Arch::Aarch64] {
            let facts = Facts {
                distribution,
                arch,
                instance: b"i-0123456789abcdef0",
                region: b"eu-west-1",
                domain: b"amazonaws.com",
            };
            let mut out = Text::new(&mut room);
            if let SsmAgent::Install { version } = request.ssm() {
                location::ssm_package(&request, &facts, version, &mut out);
                let _ = request.pinned(out.bytes());
            }
            let Ok(steps) = steps(&request, &facts) else { continue };
            for step in steps {
                out.clear();
                explain(step, &request, &facts, &mut out);
            }
        }
    }
}

/// Replies of the metadata service over a socket, and what curl, wget and python3 print of replies.
pub(crate) fn reply(text: &[u8]) {
    let head = http::head(text);
    assert!(!head.date.contains(&b'\n'));
    if let Some((status, body)) = http::reply(text) {
        assert!(body.len() <= text.len());
        let _ = create_tags(status, error_code(body));
    }
    for exit in [0, 18, 23, 127] {
        let _ = transfer::outcome(exit, text);
    }
    assert!(transfer::cause(text).len() <= text.len());
}

/// The identity document, the role's credentials, and the SSM agent's identity: single strings picked out of JSON.
pub(crate) fn json(document: &[u8]) {
    for key in [&b"\"instanceId\""[..], b"\"region\"", b"\"Code\"", b"\"\"", b""] {
        if let Some(value) = pitcrew_plan::json::string(document, key) {
            assert!(!value.iter().any(|byte| matches!(byte, b'"' | b'\\')), "a value ends before its quote");
        }
    }
    let _ = Credentials::parse(document);
    let _ = ssm::is_registered(document, b"i-0123456789abcdef0", 2, 1);
    assert!(!ssm::is_registered(document, b"i-0123456789abcdef0", 1, 2), "what was written before boot is no proof");
}

/// `/etc/os-release`, which decides what is done on a machine.
pub(crate) fn os_release(text: &[u8]) {
    let Some(distribution) = Distribution::recognise(text) else { return };
    let is_deb = distribution.package_kind() == PackageKind::Deb;
    assert_eq!(is_deb, distribution.manager() == Manager::Apt);
    let _ = (distribution.has_ssm_snap(), distribution.takes_codedeploy_v1());
}

/// The manifest of CodeDeploy agent 1.x, whose entries become a part of URLs.
pub(crate) fn manifest(text: &[u8]) {
    for kind in [PackageKind::Deb, PackageKind::Rpm] {
        if let Some(key) = codedeploy_v1_package(text, kind) {
            assert!(key.starts_with(b"releases/"));
        }
    }
}
