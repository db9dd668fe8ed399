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
        let mut primes = (2_u32..).filter(|number| (2..*number).all(|divisor| number % divisor != 0));
        for (index, constant) in hash.round_constants.iter_mut().enumerate() {
            let prime = primes.next().unwrap_or_default();
            *constant = fraction_of_root(prime, 3);
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
            if let Some(place) = self.block.get_mut(at) {
                *place = *byte;
            }
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
        for (place, word) in digest.chunks_exact_mut(4).zip(self.state) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }

    fn compress(&mut self) {
        let mut schedule = [0; 16];
        for (word, bytes) in schedule.iter_mut().zip(self.block.as_chunks().0) {
            *word = u32::from_be_bytes(*bytes);
        }
        let mut state = self.state;
        for (round, constant) in self.round_constants.iter().enumerate() {
            let [a, b, c, d, e, f, g, h] = state;
            let at = |back: usize| schedule[round.wrapping_sub(back) & 15];
            let mut word = at(16);
            if round >= 16 {
                let (near, far) = (at(2), at(15));
                word = word
                    .wrapping_add(at(7))
                    .wrapping_add(near.rotate_right(17) ^ near.rotate_right(19) ^ near >> 10)
                    .wrapping_add(far.rotate_right(7) ^ far.rotate_right(18) ^ far >> 3);
                schedule[round & 15] = word;
            }
            let first = h
                .wrapping_add(e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25))
                .wrapping_add(g ^ e & (f ^ g))
                .wrapping_add(*constant)
                .wrapping_add(word);
            let second =
                (a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22)).wrapping_add(a & b | c & (a | b));
            state = [first.wrapping_add(second), a, b, c, d.wrapping_add(first), e, f, g];
        }
        for (sum, word) in self.state.iter_mut().zip(state) {
            *sum = sum.wrapping_add(word);
        }
    }
}

/// The first 32 bits of the fractional part of the `degree`th root of `number`.
fn fraction_of_root(number: u32, degree: u32) -> u32 {
    let mut root: u128 = 0;
    for bit in (0..36).rev() {
        let candidate = root | 1 << bit;
        if candidate.pow(degree) <= u128::from(number) << (32 * degree) {
            root = candidate;
        }
    }
    root as u32
}

/// An HMAC-SHA-256 in the making.
#[derive(Debug, Clone)]
pub struct Hmac {
    inner: Sha256,
    outer: Sha256,
}

impl Hmac {
    /// The code of nothing yet, under the key that is the concatenation of `parts`, which may be
    /// 64 bytes long: longer keys, which no one has, would have to be hashed first.
    pub fn new(parts: &[&[u8]]) -> Self {
        let mut hmac = Self { inner: Sha256::new(), outer: Sha256::new() };
        let key = parts.iter().copied().flatten().copied();
        for byte in key.chain(core::iter::repeat(0)).take(64) {
            hmac.inner.update(&[byte ^ 0x36]);
            hmac.outer.update(&[byte ^ 0x5c]);
        }
        hmac
    }

    /// Adds `bytes` to the message.
    pub fn update(&mut self, bytes: &[u8]) -> &mut Self {
        self.inner.update(bytes);
        self
    }

    /// The code of the whole message.
    pub fn finish(&mut self) -> Digest {
        self.outer.update(&self.inner.finish()).finish()
    }
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
            proptest::prop_assert_eq!(Hmac::new(&[&key]).update(&message).finish(), expected);
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
