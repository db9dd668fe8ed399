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
    assert!(request.tags().eq([Tag { key: b"pitcrew%3Aready", value: b"true" }, Tag { key: b"empty", value: b"" }]));
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
    for wrong in ["colour blue", "deadline soon", "codedeploy 3", "package riscv rpm u d", "ssm", "", "deadline 1 "] {
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
