//! A clock under virtual time that can be set, as an operator or a time server sets a host's.

use std::sync::atomic::{AtomicI64, Ordering};

use pitcrew_core::time::{Now, WallTime};

use crate::doors::{Clock, TokioClock};

/// Tokio's clock, and by how much the time for people differs from it.
pub(super) struct SettableClock {
    clock: TokioClock,
    /// In milliseconds.
    ahead: AtomicI64,
}

impl SettableClock {
    pub(super) fn starting_at(start: Now) -> Self {
        Self { clock: TokioClock::starting_at(start), ahead: AtomicI64::new(0) }
    }

    /// Sets the time for people forward, or back; the time for deadlines goes on as it was.
    pub(super) fn set_forward(&self, seconds: i64) {
        self.ahead.fetch_add(seconds.saturating_mul(1000), Ordering::Relaxed);
    }
}

impl Clock for SettableClock {
    fn now(&self) -> Now {
        let now = self.clock.now();
        Now { wall: WallTime(now.wall.0.saturating_add_signed(self.ahead.load(Ordering::Relaxed))), ..now }
    }
}
