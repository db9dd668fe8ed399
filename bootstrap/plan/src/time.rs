//! Dates in the form that Signature Version 4 wants, `20261123T052025Z`.

use crate::text::Text;

/// The command that prints the time by the machine's clock in that form. A calendar of our own
/// would be a few hundred bytes of user data that every machine has already.
pub const AMZ_DATE_COMMAND: &[u8] = b"date -u +%Y%m%dT%H%M%SZ";

/// Writes the `Date` of an HTTP reply, `Mon, 23 Nov 2026 05:20:25 GMT` (RFC 9110), in that form;
/// nothing when it is none.
pub fn amz_date_of_http(date: &[u8], out: &mut Text<'_>) {
    let mut parts: [&[u8]; 7] = [b""; 7];
    for (place, part) in parts.iter_mut().zip(date.split(|byte| matches!(byte, b' ' | b':'))) {
        *place = part;
    }
    let [_, day, month, year, hour, minute, second] = parts;
    let months = b"JanFebMarAprMayJunJulAugSepOctNovDec".chunks_exact(3);
    if let Some((number, _)) = (1..).zip(months).find(|(_, name)| *name == month) {
        out.put(year).padded(number, 2).fill(b"$1T$2$3$4Z", &[day, hour, minute, second]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, string::String, vec::Vec};

    fn written(date: &[u8]) -> String {
        let mut room = [0; 16];
        let mut out = Text::new(&mut room);
        amz_date_of_http(date, &mut out);
        String::from_utf8(out.bytes().into()).unwrap()
    }

    #[test]
    fn every_month_is_known() {
        for (number, month) in
            (1..).zip(["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"])
        {
            let date = format!("Mon, 23 {month} 2026 05:20:25 GMT");
            assert_eq!(written(date.as_bytes()), format!("2026{number:02}23T052025Z"));
        }
    }

    #[test]
    fn what_is_no_date_is_not_written() {
        for text in ["", "Mon", "Mon, 23 Foo 2026 05:20:25 GMT", "Monday, 23-Nov-26 05:20:25 GMT"] {
            assert_eq!(written(text.as_bytes()), "", "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(text: Vec<u8>) {
            amz_date_of_http(&text, &mut Text::new(&mut [0; 16]));
        }
    }
}
