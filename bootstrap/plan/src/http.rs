//! Reads HTTP replies: those that come over a socket, and the headers that a child program prints.

use crate::text::{after, cut, leading_number, trimmed};

/// What matters of a reply's head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head<'a> {
    /// Status code; 0 when no status line was found.
    pub status: u32,
    /// `Content-Length`, in bytes.
    pub length: Option<u32>,
    /// `Date`, as it stands there; empty without one.
    pub date: &'a [u8],
}

/// Reads the last head in `text`. A proxy's answer and redirections come before it, and wget
/// indents it, so status lines are looked for anywhere and the last one counts.
pub fn head(text: &[u8]) -> Head<'_> {
    let (mut rest, mut last): (_, &[u8]) = (text, b"");
    while let Some(tail) = after(rest, b"HTTP/") {
        (rest, last) = (tail, tail);
    }
    let number_after = |needle| after(last, needle).and_then(leading_number).map(|(number, _)| number);
    Head {
        status: number_after(b" ").unwrap_or_default(),
        length: number_after(b"Content-Length: "),
        date: trimmed(cut(after(last, b"Date: ").unwrap_or_default(), b'\n').0),
    }
}

/// Reads a whole reply: its status and its body, cut to `Content-Length`. `None` when the head is
/// not whole or the body shorter than it says: then more has to be read, or the reply broke off.
pub fn reply(text: &[u8]) -> Option<(u32, &[u8])> {
    let body = after(text, b"\r\n\r\n")?;
    let head = head(text.get(..text.len() - body.len())?);
    let length = head.length.map_or(body.len(), |length| length as usize);
    Some((head.status, body.get(..length)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_metadata_reply_is_read_whole_or_not_at_all() {
        let text = b"HTTP/1.1 200 OK\r\nServer: EC2ws\r\ncontent-length: 3\r\nConnection: close\r\n\r\ni-1";
        assert_eq!(reply(text), Some((200, &b"i-1"[..])));
        for end in 0..text.len() {
            assert_eq!(reply(&text[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn a_reply_without_a_length_is_what_there_is() {
        assert_eq!(reply(b"HTTP/1.0 404 Not Found\r\n\r\n<x>"), Some((404, &b"<x>"[..])));
        assert_eq!(reply(b"nonsense\r\n\r\n"), Some((0, &b""[..])));
    }

    #[test]
    fn behind_a_proxy_and_a_redirection_the_last_head_counts() {
        let text = b"HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 302 Found\r\ndate: x\r\n\r\n\
            HTTP/2 503 \r\ndate: Mon, 23 Nov 2026 05:20:25 GMT\r\n\r\n";
        assert_eq!(head(text).status, 503);
        assert_eq!(head(text).date, b"Mon, 23 Nov 2026 05:20:25 GMT");
    }

    #[test]
    fn wget_indents_what_it_prints() {
        assert_eq!(head(b"--2026--  https://x/\n  HTTP/1.1 403 Forbidden\n  Date: now\n").status, 403);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(text: Vec<u8>) {
            let _ = reply(&text);
            let _ = reply(&[b"HTTP/1.1 ", text.as_slice(), b"\r\nContent-Length: 9\r\n\r\n", &text].concat());
        }
    }
}
