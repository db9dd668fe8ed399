//! A version 4 RSA signature packet, taken apart.

use super::SignatureError;
use super::packet::{hex, integer, new_length};

/// What a signature is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The bytes of a file.
    Binary,
    /// A key and a user id.
    Certification,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature<'a> {
    pub(super) kind: Kind,
    pub(super) hash: Hash,
    /// Seconds since 1970.
    pub(super) created: u64,
    /// Seconds from the key's creation to its expiry; of a self-signature.
    pub(super) key_lifetime: Option<u64>,
    pub(super) value: &'a [u8],
    issuer: Option<&'a [u8]>,
    /// Everything up to the end of the hashed subpackets: it is signed too.
    hashed: &'a [u8],
}

impl<'a> Signature<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, SignatureError> {
        Self::read(body).ok_or(SignatureError::Malformed("signature: not a version 4 RSA signature that we understand"))
    }

    fn read(body: &'a [u8]) -> Option<Self> {
        let (&[version, kind, algorithm, hash, l0, l1], rest) = body.split_first_chunk()?;
        if version != 4 || ![1, 3].contains(&algorithm) {
            return None;
        }
        let kind = match kind {
            0x00 => Kind::Binary,
            0x10..=0x13 => Kind::Certification,
            _ => return None,
        };
        let hash = match hash {
            2 => Hash::Sha1,
            8 => Hash::Sha256,
            9 => Hash::Sha384,
            10 => Hash::Sha512,
            _ => return None,
        };
        let (hashed_area, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
        let (unhashed_length, rest) = rest.split_first_chunk()?;
        let (unhashed_area, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*unhashed_length)))?;
        let (_, rest) = rest.split_first_chunk::<2>()?;
        let (value, _) = integer(rest)?;
        let mut signature = Self {
            kind,
            hash,
            created: 0,
            key_lifetime: None,
            value,
            issuer: None,
            hashed: &body[..6 + hashed_area.len()],
        };
        signature.subpackets(hashed_area, true)?;
        signature.subpackets(unhashed_area, false)?;
        Some(signature)
    }

    /// Reads an area of subpackets; `None` where one must be understood and is not.
    fn subpackets(&mut self, mut area: &'a [u8], hashed: bool) -> Option<()> {
        const CRITICAL: u8 = 0x80;
        while !area.is_empty() {
            let (length, rest) = new_length(area)?;
            let (subpacket, rest) = rest.split_at_checked(length)?;
            area = rest;
            let (&tag, value) = subpacket.split_first()?;
            match (tag & !CRITICAL, hashed) {
                (2, true) => self.created = seconds(value)?,
                (9, true) => self.key_lifetime = Some(seconds(value)?).filter(|life| *life > 0),
                // A signature that runs out is a promise for a while, not what a package is signed with.
                (3, true) if seconds(value)? > 0 => return None,
                // A hint which key to try; a wrong one only makes the check fail.
                (16, _) => self.issuer = Some(value).filter(|id| id.len() == 8),
                (33, _) => self.issuer = value.get(1..).filter(|id| id.len() == 20),
                // Preferences, key flags and features of a self-signature: nothing here depends on them.
                (11 | 21 | 22 | 23 | 25 | 27 | 30 | 34, true) => {}
                (_, true) if tag & CRITICAL != 0 => return None,
                _ => {}
            }
        }
        Some(())
    }

    /// Whether the signature names this key as its maker, by id or fingerprint.
    pub(super) fn names(&self, fingerprint: &[u8; 20]) -> bool {
        self.issuer.is_some_and(|issuer| fingerprint.ends_with(issuer))
    }

    /// The maker as the signature names it.
    pub(super) fn signer(&self) -> String {
        self.issuer.map_or_else(|| "unnamed".to_owned(), hex)
    }

    /// The bytes that are signed: the data, the signature's own hashed part, and the trailer.
    pub(super) fn covered(&self, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(self.hashed.len()).unwrap_or(u32::MAX).to_be_bytes();
        [data, self.hashed, &[4, 0xff], &length].concat()
    }
}

fn seconds(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(|bytes| u64::from(u32::from_be_bytes(bytes)))
}
