//! Whether we would hear of an interruption.

use std::time::Duration;

use tokio::time::Instant;

/// Without a good answer for this long, a notice may have come and we would not know.
const BLIND_AFTER: Duration = Duration::from_secs(5);

/// A change of what can be seen at IMDS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// No good answer for some seconds.
    Blind {
        /// How long ago the last good answer was, or the first question where there was none.
        unseen: Duration,
        /// What IMDS did last; for people.
        why: String,
    },
    /// IMDS answers again.
    Seeing {
        /// How long there was no good answer.
        unseen: Duration,
    },
}

/// Counts the time since the last good answer.
pub(super) struct Eye {
    last_good: Instant,
    blind: bool,
}

impl Eye {
    pub(super) fn opened(now: Instant) -> Self {
        Self { last_good: now, blind: false }
    }

    pub(super) fn saw(&mut self, now: Instant) -> Option<Sight> {
        let unseen = now.duration_since(self.last_good);
        self.last_good = now;
        std::mem::take(&mut self.blind).then_some(Sight::Seeing { unseen })
    }

    pub(super) fn missed(&mut self, now: Instant, why: String) -> Option<Sight> {
        let unseen = now.duration_since(self.last_good);
        if self.blind || unseen < BLIND_AFTER {
            return None;
        }
        self.blind = true;
        Some(Sight::Blind { unseen, why })
    }
}
