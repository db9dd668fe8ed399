//! Bytes in and bytes out: a bounded writer, and the few readers that the parsers share.

/// Writes into a slice that somebody else owns; what does not fit is dropped and remembered.
///
/// The payload has no allocator and no `core::fmt`, so every text is built here.
#[derive(Debug)]
pub struct Text<'a> {
    room: &'a mut [u8],
    len: usize,
    overflowed: bool,
}

impl<'a> Text<'a> {
    /// An empty text over `room`, whose length is the capacity.
    pub fn new(room: &'a mut [u8]) -> Self {
        Self { room, len: 0, overflowed: false }
    }

    /// Appends `bytes` whole, or nothing of them when they do not fit.
    pub fn put(&mut self, bytes: &[u8]) -> &mut Self {
        let end = self.len.saturating_add(bytes.len());
        match self.room.get_mut(self.len..end) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.len = end;
            }
            None => self.overflowed = true,
        }
        self
    }

    /// Appends `number` in decimal.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.padded(number, 1)
    }

    /// Appends `number` in decimal with at least `width` digits.
    pub fn padded(&mut self, mut number: u64, width: usize) -> &mut Self {
        let mut digits = [b'0'; 20];
        let mut used = 0;
        for digit in digits.iter_mut().rev() {
            if number == 0 && used >= width {
                break;
            }
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
            used += 1;
        }
        self.put(digits.get(digits.len() - used..).unwrap_or_default())
    }

    /// Appends `bytes` as lower-case hexadecimal.
    pub fn hex(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            for nibble in [byte >> 4, byte & 15] {
                self.put(&[if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble }]);
            }
        }
        self
    }

    /// What has been written so far.
    pub fn bytes(&self) -> &[u8] {
        self.room.get(..self.len).unwrap_or_default()
    }

    /// What has been written, for as long as the room itself lives.
    pub fn into_bytes(self) -> &'a [u8] {
        let Self { room, len, .. } = self;
        room.get(..len).unwrap_or_default()
    }

    /// Whether something did not fit.
    pub fn is_overflowed(&self) -> bool {
        self.overflowed
    }

    /// Forgets everything written.
    pub fn clear(&mut self) {
        self.len = 0;
        self.overflowed = false;
    }
}

/// The lines of `text`, without their line feeds; a last empty line is none.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n')
}

/// `text` up to the first `separator`, and what follows it; all of `text` and nothing without one.
pub fn cut(text: &[u8], separator: u8) -> (&[u8], &[u8]) {
    let mut parts = text.splitn(2, |byte| *byte == separator);
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// Whether `word` is one of the words of `list`, which single spaces separate.
pub fn has_word(list: &[u8], word: &[u8]) -> bool {
    list.split(|byte| *byte == b' ').any(|listed| listed == word)
}

/// What follows the first `needle` in `text`.
pub fn after<'a>(text: &'a [u8], needle: &[u8]) -> Option<&'a [u8]> {
    let at = text.windows(needle.len().max(1)).position(|window| window == needle)?;
    text.get(at + needle.len()..)
}

/// The decimal number at the start of `text` and what follows it; `None` without a digit or when
/// it is larger than a `u32`.
pub fn leading_number(text: &[u8]) -> Option<(u32, &[u8])> {
    let mut number: u32 = 0;
    let mut rest = text;
    while let Some((digit @ b'0'..=b'9', tail)) = rest.split_first() {
        number = number.checked_mul(10)?.checked_add(u32::from(digit - b'0'))?;
        rest = tail;
    }
    (rest.len() < text.len()).then_some((number, rest))
}

/// `text` as one decimal number, and nothing else.
pub fn number(text: &[u8]) -> Option<u32> {
    match leading_number(text) {
        Some((number, [])) => Some(number),
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_takes_what_fits_and_remembers_what_did_not() {
        let mut room = [0; 8];
        let mut text = Text::new(&mut room);
        text.put(b"ab").number(0).padded(7, 2).hex(&[0xf0]);
        assert_eq!(text.bytes(), b"ab007f0");
        assert!(!text.is_overflowed());
        text.put(b"xy");
        assert_eq!(text.bytes(), b"ab007f0");
        assert!(text.is_overflowed());
        text.clear();
        assert_eq!((text.bytes(), text.is_overflowed()), (&b""[..], false));
    }

    #[test]
    fn the_largest_number_is_written_whole() {
        let mut room = [0; 20];
        let mut text = Text::new(&mut room);
        text.number(u64::MAX);
        assert_eq!(text.bytes(), b"18446744073709551615");
    }

    #[test]
    fn cut_and_after_and_numbers_take_text_apart() {
        assert_eq!(cut(b"a b c", b' '), (&b"a"[..], &b"b c"[..]));
        assert_eq!(cut(b"a", b' '), (&b"a"[..], &b""[..]));
        assert_eq!(after(b"xx<Code>No", b"<Code>"), Some(&b"No"[..]));
        assert_eq!(after(b"x", b"<Code>"), None);
        assert_eq!(number(b"4294967295"), Some(u32::MAX));
        assert_eq!(number(b"4294967296"), None);
        assert_eq!(number(b""), None);
        assert_eq!(number(b"7 "), None);
        assert_eq!(lines(b"a\nb\n").count(), 2);
    }
}
