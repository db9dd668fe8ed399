//! Clocks, sleep and chance.

use super::{call3, number};

#[repr(C)]
pub(super) struct Timespec {
    pub(super) seconds: i64,
    pub(super) nanoseconds: i64,
}

impl Timespec {
    pub(super) fn of_millis(millis: u64) -> Self {
        Self { seconds: (millis / 1000) as i64, nanoseconds: (millis % 1000 * 1_000_000) as i64 }
    }
}

fn clock(which: usize) -> Timespec {
    let mut now = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: the pointer is to a `timespec` that lives through the call.
    unsafe { call3(number::CLOCK_GETTIME, which, (&raw mut now) as usize, 0) };
    now
}

/// Milliseconds on a clock that nobody sets.
pub fn monotonic_ms() -> u64 {
    let now = clock(1);
    now.seconds as u64 * 1000 + now.nanoseconds as u64 / 1_000_000
}

/// Unix seconds by the machine's clock, which may be wrong.
pub fn unix() -> u64 {
    clock(0).seconds as u64
}

/// Seconds since the machine booted.
pub fn since_boot() -> u64 {
    clock(7).seconds as u64
}

/// Sleeps.
pub fn sleep_ms(millis: u64) {
    let pause = Timespec::of_millis(millis);
    // SAFETY: the pointer is to a `timespec` that lives through the call.
    unsafe { call3(number::NANOSLEEP, (&raw const pause) as usize, 0, 0) };
}

/// A number that another machine hardly draws at the same time: the nanosecond.
pub fn random() -> u64 {
    clock(0).nanoseconds as u64
}
