//! Bytes in and bytes out: a bounded writer, and the few readers that the parsers share.

/// Writes into a slice that somebody else owns. A text that does not fit is no text at all: it stays
/// empty from then on, so that nobody acts on half of one.
///
/// The payload has no allocator and no `core::fmt`, so every text is built here.
#[derive(Debug)]
pub struct Text<'a> {
    room: &'a mut [u8],
    /// Bytes written; more than there is room for once something did not fit.
    len: usize,
}

impl<'a> Text<'a> {
    /// An empty text over `room`, whose length is the capacity.
    pub fn new(room: &'a mut [u8]) -> Self {
        Self { room, len: 0 }
    }

    /// Appends `bytes`.
    pub fn put(&mut self, bytes: &[u8]) -> &mut Self {
        let end = self.len.saturating_add(bytes.len());
        if let Some(place) = self.room.get_mut(self.len..end) {
            place.copy_from_slice(bytes);
        }
        self.len = end;
        self
    }

    /// Appends `template` with the first of `values` in the place of each `$1`, the second in that
    /// of each `$2`, and so on.
    pub fn fill(&mut self, mut template: &[u8], values: &[&[u8]]) -> &mut Self {
        loop {
            let (plain, rest) = cut(template, b'$');
            self.put(plain);
            let Some((digit, rest)) = rest.split_first() else { return self };
            self.put(values.get(usize::from(digit.wrapping_sub(b'1'))).copied().unwrap_or_default());
            template = rest;
        }
    }

    /// Appends `number` in decimal.
    pub fn number(&mut self, mut number: u64) -> &mut Self {
        let mut digits = [0; 20];
        let mut begin = digits.len();
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
            begin -= 1;
            if number == 0 {
                break;
            }
        }
        self.put(digits.get(begin..).unwrap_or_default())
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
    #[inline(never)]
    pub fn bytes(&self) -> &[u8] {
        self.room.get(..self.len).unwrap_or_default()
    }

    /// Whether something did not fit.
    pub fn is_overflowed(&self) -> bool {
        self.len > self.room.len()
    }

    /// What has been written, for as long as the room itself lives.
    pub fn into_bytes(self) -> &'a [u8] {
        let Self { room, len } = self;
        room.get(..len).unwrap_or_default()
    }

    /// Forgets everything written.
    pub fn clear(&mut self) {
        self.len = 0;
    }
}

/// The lines of `text`, without their line feeds; a last empty line is none.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n')
}

/// `text` up to the first `separator`, and what follows it; all of `text` and nothing without one.
pub fn cut(text: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == separator) {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default()),
        None => (text, b""),
    }
}

/// `text` without the white space at its end.
#[inline(never)]
pub fn trimmed(text: &[u8]) -> &[u8] {
    text.trim_ascii_end()
}

/// Whether one of the words of `list`, which single `separator`s separate, `is_it`.
pub(crate) fn any_word(mut list: &[u8], separator: u8, is_it: &mut dyn FnMut(&[u8]) -> bool) -> bool {
    while !list.is_empty() {
        let (word, rest) = cut(list, separator);
        if is_it(word) {
            return true;
        }
        list = rest;
    }
    false
}

/// Whether `word` is one of the words of `list`, which single spaces separate.
pub(crate) fn has_word(list: &[u8], word: &[u8]) -> bool {
    any_word(list, b' ', &mut |listed| listed == word)
}

/// The word number `index`, counted from 0, of a list that single spaces separate.
pub(crate) fn nth_word(mut list: &'static [u8], index: usize) -> &'static [u8] {
    for _ in 0..index {
        list = cut(list, b' ').1;
    }
    cut(list, b' ').0
}

/// What follows the first `needle` in `text`, whatever the case of its letters.
pub fn after<'a>(text: &'a [u8], needle: &[u8]) -> Option<&'a [u8]> {
    let mut rest = text;
    while let Some(begin) = rest.get(..needle.len()) {
        if begin.iter().zip(needle).all(|(one, other)| one.eq_ignore_ascii_case(other)) {
            return rest.get(needle.len()..);
        }
        rest = rest.get(1..)?;
    }
    None
}

/// The value of the `index`th line, counted from 0, that consists of `key`, `separator` and a
/// value.
pub(crate) fn value_of<'a>(text: &'a [u8], separator: u8, key: &[u8], mut index: usize) -> Option<&'a [u8]> {
    let mut rest = text;
    while !rest.is_empty() {
        let (line, tail) = cut(rest, b'\n');
        rest = tail;
        let (name, value) = cut(line, separator);
        if name == key {
            if index == 0 {
                return Some(value);
            }
            index -= 1;
        }
    }
    None
}

/// The decimal number at the start of `text` and what follows it; `None` without a digit or when
/// it is larger than a `u32`.
pub(crate) fn leading_number(text: &[u8]) -> Option<(u32, &[u8])> {
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
    fn a_text_that_does_not_fit_is_none() {
        let mut room = [0; 8];
        let mut text = Text::new(&mut room);
        text.put(b"ab").number(0).number(70).hex(&[0xaf]);
        assert_eq!(text.bytes(), b"ab070af");
        assert!(!text.is_overflowed());
        text.put(b"xy");
        assert_eq!((text.bytes(), text.is_overflowed()), (&b""[..], true));
        text.put(b"");
        assert_eq!((text.bytes(), text.is_overflowed()), (&b""[..], true));
        text.clear();
        assert_eq!((text.bytes(), text.is_overflowed()), (&b""[..], false));
    }

    #[test]
    fn a_template_is_filled_with_values() {
        let mut room = [0; 40];
        let mut text = Text::new(&mut room);
        text.fill(b"https://$1.$2/$1", &[b"a", b"b"]).fill(b"$3 plain", &[]).fill(b"", &[b"x"]);
        assert_eq!(text.bytes(), b"https://a.b/a plain");
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
        assert_eq!(after(b"DATE: now", b"Date: "), Some(&b"now"[..]));
        assert_eq!(value_of(b"a=1\nb=2\na=3", b'=', b"a", 1), Some(&b"3"[..]));
        assert_eq!(value_of(b"a=1\nb=2\n", b'=', b"a", 1), None);
        assert_eq!(number(b"4294967295"), Some(u32::MAX));
        assert_eq!(number(b"4294967296"), None);
        assert_eq!(number(b""), None);
        assert_eq!(number(b"7 "), None);
        assert_eq!(lines(b"a\nb\n").count(), 2);
    }
}
