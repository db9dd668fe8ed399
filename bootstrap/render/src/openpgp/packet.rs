//! Walks OpenPGP packets; every length is checked, what is not understood ends the walk.

use std::fmt::Write as _;

/// One packet's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    PublicKey(&'a [u8]),
    UserId(&'a [u8]),
    Signature(&'a [u8]),
    Other,
}

/// The packets of a file, in order.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take(&mut self) -> Option<Packet<'a>> {
        const ANY: u8 = 0x80;
        const NEW_FORMAT: u8 = 0x40;
        let (&header, rest) = self.rest.split_first()?;
        if header & ANY == 0 {
            return None;
        }
        let (tag, length, rest) = if header & NEW_FORMAT == 0 {
            let (length, rest) = old_length(header & 3, rest)?;
            ((header >> 2) & 0xf, length, rest)
        } else {
            let (length, rest) = new_length(rest)?;
            (header & 0x3f, length, rest)
        };
        let (body, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(match tag {
            2 => Packet::Signature(body),
            6 => Packet::PublicKey(body),
            13 => Packet::UserId(body),
            _ => Packet::Other,
        })
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Packet<'a>> {
        self.take()
    }
}

fn old_length(kind: u8, rest: &[u8]) -> Option<(usize, &[u8])> {
    match kind {
        0 => rest.split_first().map(|(&length, rest)| (usize::from(length), rest)),
        1 => rest.split_first_chunk().map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest)),
        2 => {
            let (length, rest) = rest.split_first_chunk()?;
            Some((usize::try_from(u32::from_be_bytes(*length)).ok()?, rest))
        }
        _ => None,
    }
}

/// A length as new packets and signature subpackets write it (RFC 4880, 4.2.2); partial lengths do not occur here.
pub(super) fn new_length(rest: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = rest.split_first()?;
    match first {
        0..=191 => Some((usize::from(first), rest)),
        192..=223 => {
            let (&second, rest) = rest.split_first()?;
            Some(((usize::from(first) - 192) * 256 + usize::from(second) + 192, rest))
        }
        224..=254 => None,
        255 => old_length(2, rest),
    }
}

/// A multi-precision integer: a bit count, then its bytes.
pub(super) fn integer(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (bits, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*bits)).div_ceil(8))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}
