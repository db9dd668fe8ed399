//! Dates: Unix seconds to the forms that AWS wants, and the forms that AWS writes to Unix seconds.

use crate::text::{Text, leading_number};

/// Writes `unix` as `20261123T052025Z`, the form of `x-amz-date`; its first eight bytes are the
/// day of a signing scope.
pub fn amz_date(unix: u64, out: &mut Text<'_>) {
    let days = unix / 86_400;
    let second = unix % 86_400;
    // Years begin in March here, so that a leap day is the last day of its year.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    out.padded(year, 4).padded(month, 2).padded(day, 2).put(b"T");
    out.padded(second / 3600, 2).padded(second / 60 % 60, 2).padded(second % 60, 2).put(b"Z");
}

fn unix(year: u32, month: u32, day: u32, clock: &[u8]) -> Option<u64> {
    let (hour, rest) = leading_number(clock)?;
    let (minute, rest) = leading_number(rest.strip_prefix(b":")?)?;
    let (second, _) = leading_number(rest.strip_prefix(b":")?)?;
    let year = u64::from(year.checked_sub(u32::from(month <= 2))?);
    let day_of_year = (153 * u64::from((month + 9) % 12) + 2) / 5 + u64::from(day);
    let days = (365 * year + year / 4 + year / 400 + day_of_year).checked_sub(719_469 + year / 100)?;
    Some(((days * 24 + u64::from(hour)) * 60 + u64::from(minute)) * 60 + u64::from(second))
}

/// Reads the `Date` of an HTTP reply, `Mon, 23 Nov 2026 05:20:25 GMT` (RFC 9110).
pub fn http_date(text: &[u8]) -> Option<u64> {
    let mut words = text.split(|byte| *byte == b' ').skip(1);
    let (day, _) = leading_number(words.next()?)?;
    let name = words.next()?;
    let (month, _) =
        (1..).zip(b"JanFebMarAprMayJunJulAugSepOctNovDec".chunks_exact(3)).find(|(_, known)| *known == name)?;
    let (year, _) = leading_number(words.next()?)?;
    unix(year, month, day, words.next()?)
}

/// Reads an RFC 3339 time, `2026-11-23T05:20:25.123+09:00`; fractions of a second are dropped.
pub fn rfc3339(text: &[u8]) -> Option<u64> {
    let (year, rest) = leading_number(text)?;
    let (month, rest) = leading_number(rest.strip_prefix(b"-")?)?;
    let (day, rest) = leading_number(rest.strip_prefix(b"-")?)?;
    let clock = rest.strip_prefix(b"T")?;
    let local = unix(year, month, day, clock)?;
    let Some(at) = clock.iter().position(|byte| matches!(byte, b'+' | b'-')) else {
        return Some(local);
    };
    let (hours, rest) = leading_number(clock.get(at + 1..)?)?;
    let (minutes, _) = leading_number(rest.strip_prefix(b":")?)?;
    let offset = u64::from(hours) * 3600 + u64::from(minutes) * 60;
    if clock.get(at) == Some(&b'+') { local.checked_sub(offset) } else { Some(local + offset) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, string::String, vec::Vec};

    fn amz(unix: u64) -> String {
        let mut room = [0; 16];
        let mut out = Text::new(&mut room);
        amz_date(unix, &mut out);
        String::from_utf8(out.bytes().into()).unwrap()
    }

    #[test]
    fn known_instants_are_written_and_read() {
        // By `date -u -d @N`.
        for (seconds, written, http, rfc) in [
            (0, "19700101T000000Z", "Thu, 01 Jan 1970 00:00:00 GMT", "1970-01-01T00:00:00Z"),
            (951_782_400, "20000229T000000Z", "Tue, 29 Feb 2000 00:00:00 GMT", "2000-02-29T09:00:00+09:00"),
            (1_795_411_225, "20261123T052025Z", "Mon, 23 Nov 2026 05:20:25 GMT", "2026-11-23T05:20:25.123456789Z"),
            (4_107_542_399, "21000228T235959Z", "Sun, 28 Feb 2100 23:59:59 GMT", "2100-02-28T18:29:59-05:30"),
        ] {
            assert_eq!(amz(seconds), written);
            assert_eq!(http_date(http.as_bytes()), Some(seconds), "{http}");
            assert_eq!(rfc3339(rfc.as_bytes()), Some(seconds), "{rfc}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in ["", "Mon", "Mon, 23", "Mon, 23 Foo 2026 05:20:25 GMT", "Mon, 23 Nov 2026", "Mon, 23 Nov 2026 05"] {
            assert_eq!(http_date(text.as_bytes()), None, "{text:?}");
        }
        for text in ["", "2026", "2026-11-23", "2026-11-23 05:20:25Z", "0000-01-01T00:00:00Z", "2026-11-23T05:20"] {
            assert_eq!(rfc3339(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_instant_is_read_back(seconds in 0u64..4_000_000_000) {
            let text = amz(seconds);
            let rfc = format!("{}-{}-{}T{}:{}:{}Z", &text[..4], &text[4..6], &text[6..8], &text[9..11], &text[11..13], &text[13..15]);
            proptest::prop_assert_eq!(rfc3339(rfc.as_bytes()), Some(seconds));
        }

        #[test]
        fn any_bytes_are_read_without_harm(text: Vec<u8>) {
            let _ = (http_date(&text), rfc3339(&text));
        }

        #[test]
        fn any_numbers_are_read_without_harm(parts in proptest::array::uniform6(0u32..)) {
            let [a, b, c, d, e, f] = parts;
            let _ = rfc3339(format!("{a}-{b}-{c}T{d}:{e}:{f}+{a}:{b}").as_bytes());
            let _ = http_date(format!("Mon, {a} Feb {b} {c}:{d}:{e} GMT").as_bytes());
        }
    }
}
