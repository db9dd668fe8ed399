//! The world's clock: monotonic time from tokio, wall time derived from it.
//!
//! Under `tokio::time::pause` both are virtual, so that a simulated rehearsal is the same for the same seed.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Wall time as a fixed start plus what tokio's clock says has passed since.
#[derive(Debug, Clone, Copy)]
pub struct WorldClock {
    base: SystemTime,
    started: Instant,
}

impl WorldClock {
    /// A clock whose wall time is `base` now. Must be called inside a tokio runtime.
    pub fn starting_at(base: SystemTime) -> Self {
        Self { base, started: Instant::now() }
    }

    /// The machine's own wall time, for rehearsals with real processes.
    #[expect(clippy::disallowed_methods, reason = "this is the clock door")]
    pub fn real() -> Self {
        Self::starting_at(SystemTime::now())
    }

    /// 2026-01-01T00:00:00Z, the day on which every simulated rehearsal plays.
    pub fn simulated() -> Self {
        Self::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600))
    }

    /// Monotonic now.
    pub fn now(&self) -> Instant {
        Instant::now()
    }

    /// Wall time now.
    pub fn wall(&self) -> SystemTime {
        self.wall_at(self.now())
    }

    /// Wall time at a monotonic instant not before the start.
    pub(crate) fn wall_at(&self, at: Instant) -> SystemTime {
        self.base + at.saturating_duration_since(self.started)
    }

    /// Time since the world came up.
    pub fn elapsed(&self) -> Duration {
        self.since_start(self.now())
    }

    /// How long after the world came up `at` is.
    pub(crate) fn since_start(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.started)
    }
}
