//! `/etc/os-release`, which decides what is done on a machine.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pitcrew_plan::distribution::{Distribution, Manager, PackageKind};

fuzz_target!(|os_release: &[u8]| {
    let Some(distribution) = Distribution::recognise(os_release) else { return };
    let is_deb = distribution.package_kind() == PackageKind::Deb;
    assert_eq!(is_deb, distribution.manager() == Manager::Apt);
    let _ = (distribution.has_ssm_snap(), distribution.takes_codedeploy_v1());
});
