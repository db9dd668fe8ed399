//! The identity document, the role's credentials, and the SSM agent's identity: single strings picked out of JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pitcrew_plan::ec2::Credentials;
use pitcrew_plan::{json, ssm};

fuzz_target!(|document: &[u8]| {
    for key in [&b"\"instanceId\""[..], b"\"region\"", b"\"Code\"", b"\"\"", b""] {
        if let Some(value) = json::string(document, key) {
            assert!(!value.iter().any(|byte| matches!(byte, b'"' | b'\\')), "a value ends before its quote");
        }
    }
    let _ = Credentials::parse(document);
    let _ = ssm::is_registered(document, b"i-0123456789abcdef0", 2, 1);
    assert!(!ssm::is_registered(document, b"i-0123456789abcdef0", 1, 2), "what was written before boot is no proof");
});
