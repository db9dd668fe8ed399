//! Time as the core sees it: given from outside, in milliseconds, on a clock that nobody can set.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds on the clock that counts since boot, suspend included (`CLOCK_BOOTTIME`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instant(pub u64);

/// Milliseconds since 1970 UTC; for people and for the wire, never for deadlines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallTime(pub u64);

/// The present, on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// For deadlines.
    pub at: Instant,
    /// For people and the wire.
    pub wall: WallTime,
}

impl Instant {
    /// How long ago `earlier` was; zero where it lies ahead.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// How long it is until this instant; zero once it has passed.
    pub fn remaining(self, now: Instant) -> Duration {
        self.since(now)
    }

    /// This instant, `by` later.
    pub fn after(self, by: Duration) -> Instant {
        Instant(self.0.saturating_add(millis(by)))
    }
}

impl WallTime {
    /// How far this time lies ahead of `now`; zero once it has passed.
    pub fn remaining(self, now: WallTime) -> Duration {
        Duration::from_millis(self.0.saturating_sub(now.0))
    }
}

/// Whole milliseconds, saturating.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A duration the way a person says it: `41 s`, `2.5 s`, `3 min`, `250 ms`.
#[derive(Clone, Copy, Debug)]
pub struct Spoken(pub Duration);

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = millis(self.0);
        match ms {
            0..=999 => write!(f, "{ms} ms"),
            1_000..=9_999 if !ms.is_multiple_of(1000) => {
                write!(f, "{}.{} s", ms / 1000, ms % 1000 / 100)
            }
            1_000..=179_999 => write!(f, "{} s", ms / 1000),
            _ => write!(f, "{} min", ms / 60_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_as_people_say_them() {
        let table = [
            (0, "0 ms"),
            (250, "250 ms"),
            (1000, "1 s"),
            (2500, "2.5 s"),
            (41_900, "41 s"),
            (179_000, "179 s"),
            (180_000, "3 min"),
        ];
        for (ms, said) in table {
            assert_eq!(Spoken(Duration::from_millis(ms)).to_string(), said);
        }
    }

    #[test]
    fn an_instant_that_has_passed_has_nothing_left() {
        assert_eq!(Instant(5).remaining(Instant(9)), Duration::ZERO);
        assert_eq!(Instant(9).remaining(Instant(5)), Duration::from_millis(4));
        assert_eq!(Instant(1).after(Duration::from_secs(1)), Instant(1001));
    }
}
