//! SHA-256 by the `sha2` crate, and HMAC over it as RFC 2104 says.

use sha2::Digest as _;

/// A digest.
pub type Digest = [u8; 32];

/// A hash in the making; the crate's own behind functions that are there once, not wherever they are called.
#[derive(Debug, Clone, Default)]
pub struct Sha256(sha2::Sha256);

impl Sha256 {
    /// Adds `bytes` to what is hashed.
    #[inline(never)]
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that was added.
    #[inline(never)]
    pub fn finish(self) -> Digest {
        self.0.finalize().into()
    }
}

/// SHA-256 of `message`.
pub fn sha256(message: &[u8]) -> Digest {
    of(b"", message)
}

/// HMAC-SHA-256 of `message`. The key may be 64 bytes long: longer ones, which nobody has here,
/// would have to be hashed first.
pub(crate) fn hmac(key: &[u8], message: &[u8]) -> Digest {
    pass(0x5c, key, &pass(0x36, key, message))
}

fn pass(mask: u8, key: &[u8], message: &[u8]) -> Digest {
    let mut block = [mask; 64];
    for (byte, of_key) in block.iter_mut().zip(key) {
        *byte ^= of_key;
    }
    of(&block, message)
}

/// SHA-256 of `begin` and `rest`, one behind the other.
#[inline(never)]
fn of(begin: &[u8], rest: &[u8]) -> Digest {
    let mut hash = Sha256::default();
    hash.update(begin);
    hash.update(rest);
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::hmac::{KeyInit, Mac};
    use std::{string::String, vec::Vec};

    fn hex(digest: Digest) -> String {
        digest.iter().map(|byte| std::format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_empty_text_and_the_first_example_of_the_standard_hash_as_it_says() {
        assert_eq!(hex(sha256(b"")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(hex(sha256(b"abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    proptest::proptest! {
        #[test]
        fn parts_hash_as_the_whole(parts: Vec<Vec<u8>>) {
            let mut hash = Sha256::default();
            for part in &parts {
                hash.update(part);
            }
            proptest::prop_assert_eq!(hash.finish(), sha256(&parts.concat()));
        }

        #[test]
        fn any_key_signs_as_the_hmac_crate_says(key in proptest::collection::vec(0u8.., 0..=64), message: Vec<u8>) {
            let mut theirs = ::hmac::Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
            theirs.update(&message);
            let expected: Digest = theirs.finalize().into_bytes().into();
            proptest::prop_assert_eq!(super::hmac(&key, &message), expected);
        }
    }
}
