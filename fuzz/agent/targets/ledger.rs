//! A document of the ledger.
#![no_main]

libfuzzer_sys::fuzz_target!(|case: &[u8]| pitcrew_agent_fuzz::cases::ledger(case));
