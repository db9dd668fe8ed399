//! Reads time. Nobody else does.

use nix::time::{ClockId, clock_gettime};
use pitcrew_core::time::{Instant, Now, WallTime};

/// The present, for whoever must know it.
pub trait Clock: Send + Sync {
    /// The present, on the clock for deadlines and on the clock for people.
    fn now(&self) -> Now;
}

/// The host's clocks: `CLOCK_BOOTTIME`, which counts through suspend and which nobody can set, and `CLOCK_REALTIME`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now {
            at: Instant(milliseconds(ClockId::CLOCK_BOOTTIME)),
            wall: WallTime(milliseconds(ClockId::CLOCK_REALTIME)),
        }
    }
}

/// Zero where the kernel refuses, which it does not for these two clocks.
fn milliseconds(clock: ClockId) -> u64 {
    let Ok(time) = clock_gettime(clock) else {
        return 0;
    };
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let part = u64::try_from(time.tv_nsec() / 1_000_000).unwrap_or(0);
    seconds * 1000 + part
}

/// Tokio's clock from a given start: real time in a real runtime, virtual time in a paused one.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    start: Now,
    started: tokio::time::Instant,
}

impl TokioClock {
    /// A clock that shows `start` now and goes on as tokio's clock does. Call it inside the runtime.
    pub fn starting_at(start: Now) -> Self {
        Self { start, started: tokio::time::Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Now {
        let gone = self.started.elapsed();
        let at = self.start.at.after(gone);
        Now { at, wall: WallTime(self.start.wall.0 + (at.0 - self.start.at.0)) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_host_has_been_up_for_a_while_and_lives_in_this_century() {
        let earlier = SystemClock.now();
        let later = SystemClock.now();
        assert!(earlier.at > Instant(0) && later.at >= earlier.at);
        assert!(earlier.wall > WallTime(1_700_000_000_000));
    }

    #[tokio::test(start_paused = true)]
    async fn both_clocks_follow_virtual_time() {
        let start = Now { at: Instant(7_000), wall: WallTime(1_000_000) };
        let clock = TokioClock::starting_at(start);
        assert_eq!(clock.now(), start);
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert_eq!(clock.now().at, Instant(9_500));
        assert_eq!(clock.now().wall, WallTime(1_002_500));
    }
}
