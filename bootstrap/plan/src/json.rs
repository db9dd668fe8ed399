//! Picks single strings out of the flat JSON documents that the bootstrap meets.

use crate::text::after;

/// The string value of `key`, which is given with its quotes, as it stands in `document`; `None`
/// when the key is missing, or its value is no string or has an escape, which none of our documents
/// has.
pub fn string<'a>(document: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let value = after(document, key)?.trim_ascii_start().strip_prefix(b":")?;
    let open = value.trim_ascii_start().strip_prefix(b"\"")?;
    let end = open.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    if open.get(end) == Some(&b'"') { open.get(..end) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, string::String, vec::Vec};

    #[test]
    fn a_string_is_found_by_its_whole_key() {
        let document = br#"{"instanceIdX" : "no", "xinstanceId":"no", "instanceId" :
            "i-1", "number": 7, "region":"eu-west-1"}"#;
        assert_eq!(string(document, b"\"instanceId\""), Some(&b"i-1"[..]));
        assert_eq!(string(document, b"\"region\""), Some(&b"eu-west-1"[..]));
        assert_eq!(string(document, b"\"number\""), None);
        assert_eq!(string(document, b"\"absent\""), None);
    }

    #[test]
    fn what_is_cut_short_or_escaped_is_not_found() {
        for document in [&br#"{"a"#[..], br#"{"a""#, br#"{"a":"#, br#"{"a":"b"#, br#"{"a":"b\"c"}"#, br#"{"a":"b\"#] {
            assert_eq!(string(document, b"\"a\""), None, "{}", String::from_utf8_lossy(document));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_searched_without_harm(document: Vec<u8>, key in "[a-z]{1,3}") {
            let _ = string(&document, key.as_bytes());
        }

        #[test]
        fn any_plain_value_is_found(value in "[ !#-\\[\\]-~]{0,30}", before in "[a-z]{1,8}") {
            let document = format!(r#"{{"{before}1":"x","key":"{value}"}}"#);
            proptest::prop_assert_eq!(string(document.as_bytes(), b"\"key\""), Some(value.as_bytes()));
        }
    }
}
