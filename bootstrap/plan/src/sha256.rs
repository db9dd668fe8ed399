//! SHA-256 and HMAC, as FIPS 180-4 and RFC 2104 say, in as few bytes as possible.
//!
//! Written here rather than taken from the `sha2` crate because of size alone: even its compact
//! form carries 288 bytes of constants that do not compress and block buffering that can panic.
//! Here the constants are computed from what they are, the roots of the first primes. The tests
//! hold it to the `sha2` and `hmac` crates.

/// A digest.
pub type Digest = [u8; 32];

/// A hash in the making.
#[derive(Debug, Clone)]
pub struct Sha256 {
    state: [u32; 8],
    round_constants: [u32; 64],
    block: [u8; 64],
    length: u64,
}

impl Sha256 {
    /// The hash of nothing yet.
    #[expect(clippy::new_without_default, reason = "a default hash says nothing to a reader")]
    pub fn new() -> Self {
        let mut hash = Self { state: [0; 8], round_constants: [0; 64], block: [0; 64], length: 0 };
        let mut prime = 1;
        for index in 0..64 {
            prime += 1;
            while (2..prime).any(|divisor| prime % divisor == 0) {
                prime += 1;
            }
            hash.round_constants[index] = fraction_of_root(prime, 3);
            if let Some(word) = hash.state.get_mut(index) {
                *word = fraction_of_root(prime, 2);
            }
        }
        hash
    }

    /// Adds `bytes` to what is hashed.
    pub fn update(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            let at = (self.length % 64) as usize;
            self.block[at] = *byte;
            self.length += 1;
            if at == 63 {
                self.compress();
            }
        }
        self
    }

    /// The digest of all that was added.
    pub fn finish(&mut self) -> Digest {
        let bits = self.length * 8;
        self.update(&[0x80]);
        while self.length % 64 != 56 {
            self.update(&[0]);
        }
        self.update(&bits.to_be_bytes());
        let mut digest = [0; 32];
        for (at, byte) in digest.iter_mut().enumerate() {
            *byte = (self.state[at / 4] >> (24 - at % 4 * 8)) as u8;
        }
        digest
    }

    fn compress(&mut self) {
        let mut schedule = [0; 17];
        for (word, bytes) in schedule.iter_mut().zip(self.block.as_chunks().0) {
            *word = u32::from_be_bytes(*bytes);
        }
        let mut state = self.state;
        for round in 0..64 {
            let [a, b, c, d, e, f, g, h] = state;
            let word = schedule[0];
            let (far, near) = (schedule[1], schedule[14]);
            schedule[16] = word
                .wrapping_add(schedule[9])
                .wrapping_add(mix(near, 17, 19) ^ near >> 10)
                .wrapping_add(mix(far, 7, 18) ^ far >> 3);
            schedule.copy_within(1..17, 0);
            let first = h
                .wrapping_add(mix(e, 6, 11) ^ e.rotate_right(25))
                .wrapping_add(g ^ e & (f ^ g))
                .wrapping_add(self.round_constants[round])
                .wrapping_add(word);
            let second = (mix(a, 2, 13) ^ a.rotate_right(22)).wrapping_add(a & b | c & (a | b));
            state = [first.wrapping_add(second), a, b, c, d.wrapping_add(first), e, f, g];
        }
        for (sum, word) in self.state.iter_mut().zip(state) {
            *sum = sum.wrapping_add(word);
        }
    }
}

fn mix(word: u32, one: u32, other: u32) -> u32 {
    word.rotate_right(one) ^ word.rotate_right(other)
}

/// The first 32 bits of the fractional part of the `degree`th root of `number`, by Newton's method.
/// 53 bits of a float are enough for them and for what stands before the point.
fn fraction_of_root(number: u32, degree: i32) -> u32 {
    let number = f64::from(number);
    let mut root = number;
    for _ in 0..64 {
        let mut power = 1.0;
        for _ in 1..degree {
            power *= root;
        }
        root += (number / power - root) / f64::from(degree);
    }
    (root * 4_294_967_296.0) as i64 as u32
}

/// SHA-256 of `message`.
pub fn sha256(message: &[u8]) -> Digest {
    Sha256::new().update(message).finish()
}

/// HMAC-SHA-256 of `message`. The key may be 64 bytes long: longer ones, which nobody has here,
/// would have to be hashed first.
pub fn hmac(key: &[u8], message: &[u8]) -> Digest {
    pass(0x5c, key, &pass(0x36, key, message))
}

fn pass(mask: u8, key: &[u8], message: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    for at in 0..64 {
        hash.update(&[key.get(at).copied().unwrap_or_default() ^ mask]);
    }
    hash.update(message).finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::hmac::{KeyInit, Mac};
    use sha2::Digest as _;
    use std::vec::Vec;

    #[test]
    fn the_constants_are_those_of_the_standard() {
        let hash = Sha256::new();
        assert_eq!(hash.state[..2], [0x6a09_e667, 0xbb67_ae85]);
        assert_eq!(hash.round_constants[0], 0x428a_2f98);
        assert_eq!(hash.round_constants[63], 0xc671_78f2);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_hash_as_the_sha2_crate_says(parts: Vec<Vec<u8>>) {
            let mut ours = Sha256::new();
            for part in &parts {
                ours.update(part);
            }
            let theirs: Digest = sha2::Sha256::digest(parts.concat()).into();
            proptest::prop_assert_eq!(ours.finish(), theirs);
        }

        #[test]
        fn any_key_signs_as_the_hmac_crate_says(key in proptest::collection::vec(0u8.., 0..=64), message: Vec<u8>) {
            let mut theirs = ::hmac::Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
            theirs.update(&message);
            let expected: Digest = theirs.finalize().into_bytes().into();
            proptest::prop_assert_eq!(super::hmac(&key, &message), expected);
        }
    }

    #[test]
    fn every_length_around_a_block_hashes_right() {
        for length in 0..200 {
            let message = std::vec![b'm'; length];
            let theirs: Digest = sha2::Sha256::digest(&message).into();
            assert_eq!(Sha256::new().update(&message).finish(), theirs, "{length}");
        }
    }
}
