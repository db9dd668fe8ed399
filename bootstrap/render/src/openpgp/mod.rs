//! Checks a detached OpenPGP signature against a public key that we hold.
//!
//! Just what a signed package needs: version 4 RSA keys and binary signatures (RFC 4880). The arithmetic is
//! `ring`'s, which the agent carries anyway for TLS; a complete OpenPGP library brings some hundred and fifty
//! crates and a megabyte for this one question.

mod armor;
mod packet;
mod signature;

use ring::digest;
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents,
};

use crate::time::calendar_date;
pub(crate) use packet::hex;
use packet::{Packet, Reader};
use signature::{Kind, Signature};

/// What a good signature says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// When it was made, seconds since 1970.
    pub signed_at: u64,
    /// Fingerprint of the key that made it, 40 upper-case hexadecimal digits.
    pub fingerprint: String,
    /// Who the key says it belongs to.
    pub user_id: String,
    /// Whether it rests on SHA-1. A second pre-image is still out of reach, but it deserves a word.
    pub weak_hash: bool,
}

/// Why a signature is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The bytes are no OpenPGP, or not the part of it that a package signature uses.
    #[error("not a usable OpenPGP {0}")]
    Malformed(&'static str),
    /// Made by a key other than those given.
    #[error("signed by key {signer}, which is not among the trusted keys ({trusted})")]
    UnknownKey {
        /// Key id or fingerprint in the signature.
        signer: String,
        /// Fingerprints of the trusted keys.
        trusted: String,
    },
    /// Made outside of the key's life.
    #[error("signed on {signed}, but the key {fingerprint} is valid from {from} to {until}")]
    OutsideKeyLifetime {
        /// The key.
        fingerprint: String,
        /// Date of the signature.
        signed: String,
        /// Date of the key's creation.
        from: String,
        /// Date of the key's expiry.
        until: String,
    },
    /// The signature does not belong to these bytes.
    #[error("the signature by key {fingerprint} does not match the file")]
    Mismatch {
        /// The key.
        fingerprint: String,
    },
}

/// A trusted public key: version 4, RSA, with a self-signature that says how long it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    fingerprint: [u8; 20],
    user_id: String,
    created: u64,
    expires: Option<u64>,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

/// Verifies the detached signature `signature` (armoured or binary) of `data` by one of `keys`.
///
/// # Errors
/// [`SignatureError`]: unreadable, unknown key, made outside of the key's life, or not of this data.
pub fn verify(keys: &[PublicKey], signature: &[u8], data: &[u8]) -> Result<Verified, SignatureError> {
    let bytes = armor::decode(signature, "SIGNATURE").ok_or(SignatureError::Malformed("signature armour"))?;
    let Some(Packet::Signature(body)) = Reader::new(&bytes).next() else {
        return Err(SignatureError::Malformed("signature"));
    };
    let signature = Signature::parse(body)?;
    if signature.kind != Kind::Binary {
        return Err(SignatureError::Malformed("signature: it does not cover a file"));
    }
    let key = keys.iter().find(|key| signature.names(&key.fingerprint)).ok_or_else(|| SignatureError::UnknownKey {
        signer: signature.signer(),
        trusted: keys.iter().map(PublicKey::fingerprint).collect::<Vec<_>>().join(", "),
    })?;
    if !key.lived_at(signature.created) {
        return Err(SignatureError::OutsideKeyLifetime {
            fingerprint: key.fingerprint(),
            signed: calendar_date(signature.created),
            from: calendar_date(key.created),
            until: key.expires.map_or_else(|| "ever".to_owned(), calendar_date),
        });
    }
    if !key.signed(&signature, data) {
        return Err(SignatureError::Mismatch { fingerprint: key.fingerprint() });
    }
    Ok(Verified {
        signed_at: signature.created,
        fingerprint: key.fingerprint(),
        user_id: key.user_id.clone(),
        weak_hash: signature.hash == signature::Hash::Sha1,
    })
}

impl PublicKey {
    /// Reads an exported key, armoured or binary: primary key, user id, and the key's signature over both.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`] when it is no such key or the self-signature does not hold.
    pub fn parse(exported: &[u8]) -> Result<Self, SignatureError> {
        let malformed = SignatureError::Malformed("public key");
        let bytes = armor::decode(exported, "PUBLIC KEY BLOCK").ok_or(malformed.clone())?;
        let mut packets = Reader::new(&bytes);
        let Some(Packet::PublicKey(body)) = packets.next() else {
            return Err(malformed);
        };
        let mut key = Self::from_packet(body).ok_or(malformed.clone())?;
        let mut user_id: Option<&[u8]> = None;
        for packet in packets {
            match packet {
                Packet::UserId(id) => user_id = Some(id),
                Packet::Signature(certification) => {
                    let Some(id) = user_id else { continue };
                    // Others certify the key too; only its own word counts for its life.
                    let Ok(certification) = Signature::parse(certification) else {
                        continue;
                    };
                    if certification.kind != Kind::Certification || !certification.names(&key.fingerprint) {
                        continue;
                    }
                    if !key.signed(&certification, &certified(body, id)) {
                        return Err(SignatureError::Malformed("public key: its self-signature does not hold"));
                    }
                    key.user_id = String::from_utf8_lossy(id).into_owned();
                    key.expires = certification.key_lifetime.map(|life| key.created + life);
                    return Ok(key);
                }
                Packet::PublicKey(_) | Packet::Other => {}
            }
        }
        Err(SignatureError::Malformed("public key: it lacks a self-signature"))
    }

    /// 40 upper-case hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex(&self.fingerprint)
    }

    fn from_packet(body: &[u8]) -> Option<Self> {
        const VERSION_4: u8 = 4;
        const RSA: [u8; 3] = [1, 2, 3];
        let (&[version, c0, c1, c2, c3, algorithm], rest) = body.split_first_chunk()?;
        if version != VERSION_4 || !RSA.contains(&algorithm) {
            return None;
        }
        let (modulus, rest) = packet::integer(rest)?;
        let (exponent, _) = packet::integer(rest)?;
        let hashed = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &framed_key(body));
        Some(Self {
            fingerprint: hashed.as_ref().try_into().ok()?,
            user_id: String::new(),
            created: u64::from(u32::from_be_bytes([c0, c1, c2, c3])),
            expires: None,
            modulus: modulus.to_vec(),
            exponent: exponent.to_vec(),
        })
    }

    fn lived_at(&self, when: u64) -> bool {
        self.created <= when && self.expires.is_none_or(|expires| when < expires)
    }

    fn signed(&self, signature: &Signature<'_>, data: &[u8]) -> bool {
        let algorithm = match signature.hash {
            signature::Hash::Sha1 => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            signature::Hash::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
            signature::Hash::Sha384 => &RSA_PKCS1_2048_8192_SHA384,
            signature::Hash::Sha512 => &RSA_PKCS1_2048_8192_SHA512,
        };
        // OpenPGP drops leading zeros of a number, PKCS #1 wants them back.
        let Some(missing) = self.modulus.len().checked_sub(signature.value.len()) else {
            return false;
        };
        let mut value = vec![0; missing];
        value.extend_from_slice(signature.value);
        let components = RsaPublicKeyComponents { n: &self.modulus, e: &self.exponent };
        components.verify(algorithm, &signature.covered(data), &value).is_ok()
    }
}

/// What a certification of a user id covers (RFC 4880, 5.2.4).
fn certified(key: &[u8], user_id: &[u8]) -> Vec<u8> {
    let mut bytes = framed_key(key);
    bytes.push(0xb4);
    bytes.extend_from_slice(&u32::try_from(user_id.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(user_id);
    bytes
}

/// A key as it is hashed for its fingerprint and its certifications.
fn framed_key(body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x99];
    bytes.extend_from_slice(&u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

#[cfg(test)]
mod tests;
