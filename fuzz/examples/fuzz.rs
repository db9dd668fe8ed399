//! Looks for inputs by coverage; `TARGET` in the environment names what is put through them.
#![no_main]

use std::process::exit;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pitcrew_fuzz::{Case, TARGETS, case};

static CASE: LazyLock<Case> = LazyLock::new(|| {
    let name = std::env::var("TARGET").unwrap_or_default();
    case(&name).unwrap_or_else(|| {
        let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
        eprintln!("TARGET must name one of: {}", names.join(", "));
        exit(2)
    })
});

fuzz_target!(|input: &[u8]| CASE(input));
