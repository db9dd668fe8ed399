//! Lines on the agent's socket.
#![no_main]

libfuzzer_sys::fuzz_target!(|case: &[u8]| pitcrew_agent_fuzz::cases::socket(case));
