//! Tells an Auto Scaling group that this instance is unhealthy, so that the group replaces it; where the operator asked
//! for it, and only after the application has been unwell for long while nothing here explains it.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pitcrew_core::view::{State, View};
use pitcrew_core::wire::Failure;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::auto_scaling::AutoScaling;

/// After a call that failed.
const AGAIN: Duration = Duration::from_secs(60);

/// One who tells.
pub struct GroupHealth {
    group: AutoScaling,
    unwell_for: Duration,
}

impl GroupHealth {
    /// Tells of the instance of `group` once it has been unwell for so long.
    pub fn new(group: AutoScaling, unwell_for: Duration) -> Self {
        Self { group, unwell_for }
    }

    /// Tells whenever the time has come; and that all is well again, after it was told otherwise.
    pub async fn run(self, mut shown: watch::Receiver<Option<Arc<View>>>) -> Infallible {
        let mut since: Option<Instant> = None;
        let mut told = false;
        let mut not_before = Instant::now();
        loop {
            let unwell = shown.borrow_and_update().as_deref().is_some_and(|view| view.state == State::Unhealthy);
            let due = match (unwell, told) {
                (true, false) => Some(*since.get_or_insert_with(Instant::now) + self.unwell_for),
                (false, true) => Some(Instant::now()),
                (true, true) => None,
                (false, false) => {
                    since = None;
                    None
                }
            };
            let wait = async {
                match due {
                    Some(due) => sleep_until(due.max(not_before)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Ok(()) = shown.changed() => continue,
                () = wait => {}
                // Without an engine there is no more to tell.
                else => std::future::pending().await,
            }
            match self.tell(!unwell).await {
                Ok(()) => {
                    info!(healthy = !unwell, "the Auto Scaling group was told how this instance is");
                    told = unwell;
                    since = None;
                }
                Err(failure) => {
                    warn!("the Auto Scaling group was not told how this instance is: {}", failure.sentence);
                    not_before = Instant::now() + AGAIN;
                }
            }
        }
    }

    /// Tells once. Fails with `Denied` where the role lacks `autoscaling:SetInstanceHealth`, and with `Invalid` where the
    /// instance is in no group.
    pub async fn tell(&self, healthy: bool) -> Result<(), Failure> {
        self.group.set_health(healthy, false).await
    }
}

impl fmt::Debug for GroupHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupHealth({:?})", self.group)
    }
}
