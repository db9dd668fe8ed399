//! Replies of the metadata service over a socket, and what curl, wget and python3 print of replies.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pitcrew_plan::ec2::error_code;
use pitcrew_plan::retry::create_tags;
use pitcrew_plan::{http, transfer};

fuzz_target!(|text: &[u8]| {
    let head = http::head(text);
    assert!(!head.date.contains(&b'\n'));
    if let Some((status, body)) = http::reply(text) {
        assert!(body.len() <= text.len());
        let _ = create_tags(status, error_code(body));
    }
    for exit in [0, 18, 23, 127] {
        let _ = transfer::outcome(exit, text);
    }
    assert!(transfer::cause(text).len() <= text.len());
});
