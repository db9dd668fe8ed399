//! The request behind the installer: the renderer reads all of it, the payload only its first line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pitcrew_plan::distribution::Distribution;
use pitcrew_plan::explain::explain;
use pitcrew_plan::location::{self, ipv4};
use pitcrew_plan::request::{Request, SsmAgent};
use pitcrew_plan::step::{Facts, steps};
use pitcrew_plan::text::Text;

fuzz_target!(|text: &[u8]| {
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
        for arch in [pitcrew_plan::distribution::Arch::X86_64, pitcrew_plan::distribution::Arch::Aarch64] {
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
});
