//! Durations as an operator writes them: a whole number and its unit, `1500ms`, `5s`, `2m`, `1h`.

use std::time::Duration;

use pitcrew_core::time::millis;

const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// Reads `text`; the error says what it should have been.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .and_then(|(_, scale)| number.parse::<u64>().ok()?.checked_mul(*scale))
        .map(Duration::from_millis)
        .ok_or_else(|| format!("`{text}` is no duration; write a whole number and its unit: 1500ms, 5s, 2m or 1h"))
}

/// Reads `text` as [`parse`] does; no time at all is an error, too.
pub fn parse_some(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        Duration::ZERO => Err(format!("`{text}` is no time at all; the least is 1ms")),
        some => Ok(some),
    }
}

/// Writes `duration` in the largest unit that loses nothing.
pub fn written(duration: Duration) -> String {
    let ms = millis(duration);
    let (name, scale) = UNITS
        .iter()
        .rev()
        .find(|(name, scale)| match ms {
            0 => *name == "s",
            _ => ms.is_multiple_of(*scale),
        })
        .copied()
        .unwrap_or(("ms", 1));
    format!("{}{name}", ms / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_written_back() {
        for text in ["0s", "1ms", "1500ms", "5s", "90s", "2m", "70m", "1h"] {
            assert_eq!(parse(text).map(written).as_deref(), Ok(text));
        }
        assert_eq!(parse("60s").map(written).as_deref(), Ok("1m"));
    }

    #[test]
    fn what_is_no_duration_is_refused_with_examples() {
        let table =
            ["", "5", "s", "5 s", "-5s", "1.5s", "5sec", "5S", "٥s", "99999999999999999999s", "18446744073709551615h"];
        for text in table {
            let error = parse(text).unwrap_err();
            assert!(error.contains(&format!("`{text}`")) && error.contains("2m"), "{error}");
        }
    }
}
