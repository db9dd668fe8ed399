//! The appspec.yml of a bundle.
#![no_main]

libfuzzer_sys::fuzz_target!(|case: &[u8]| pitcrew_agent_fuzz::cases::appspec(case));
