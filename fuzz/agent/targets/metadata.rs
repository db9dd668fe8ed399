//! Whatever a metadata service answers.
#![no_main]

libfuzzer_sys::fuzz_target!(|case: &[u8]| pitcrew_agent_fuzz::cases::metadata(case));
