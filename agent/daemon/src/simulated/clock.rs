//! A clock under virtual time that can be set, as an operator or a time server sets a host's.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use pitcrew_core::time::{Instant, Now, WallTime};

use crate::doors::{Clock, TokioClock};

/// Tokio's clock, and by how much the time for people differs from it.
pub(super) struct SettableClock {
    clock: TokioClock,
    /// In milliseconds.
    ahead: AtomicI64,
    /// When this boot began, by the clock that counts through boots; in milliseconds.
    booted: AtomicU64,
    boots: AtomicU64,
}

impl SettableClock {
    pub(super) fn starting_at(start: Now) -> Self {
        Self {
            clock: TokioClock::starting_at(start),
            ahead: AtomicI64::new(0),
            booted: AtomicU64::new(0),
            boots: AtomicU64::new(0),
        }
    }

    /// The time for deadlines begins anew.
    pub(super) fn boot(&self) {
        self.booted.store(self.clock.now().at.0, Ordering::Relaxed);
        self.boots.fetch_add(1, Ordering::Relaxed);
    }

    /// How often this host has booted since the world began.
    pub(super) fn boots(&self) -> u64 {
        self.boots.load(Ordering::Relaxed)
    }

    /// Sets the time for people forward, or back; the time for deadlines goes on as it was.
    pub(super) fn set_forward(&self, seconds: i64) {
        self.ahead.fetch_add(seconds.saturating_mul(1000), Ordering::Relaxed);
    }
}

impl Clock for SettableClock {
    fn now(&self) -> Now {
        let now = self.clock.now();
        let at = Instant(now.at.0.saturating_sub(self.booted.load(Ordering::Relaxed)));
        Now { at, wall: WallTime(now.wall.0.saturating_add_signed(self.ahead.load(Ordering::Relaxed))) }
    }
}
