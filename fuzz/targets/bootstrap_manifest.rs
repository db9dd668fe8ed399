//! The manifest of CodeDeploy agent 1.x, whose entries become a part of URLs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pitcrew_plan::distribution::PackageKind;
use pitcrew_plan::location::codedeploy_v1_package;

fuzz_target!(|manifest: &[u8]| {
    for kind in [PackageKind::Deb, PackageKind::Rpm] {
        if let Some(key) = codedeploy_v1_package(manifest, kind) {
            assert!(key.starts_with(b"releases/"));
        }
    }
});
