//! Asks whoever keeps up the fleet to replace this instance: its Auto Scaling group, by calling it unhealthy there.

use pitcrew_core::wire::{Failure, FailureKind};

use super::auto_scaling::AutoScaling;

/// Has this instance replaced.
pub struct Replace {
    group: AutoScaling,
}

impl Replace {
    /// For the instance of `group`.
    pub fn new(group: AutoScaling) -> Self {
        Self { group }
    }

    /// Calls the instance unhealthy in its Auto Scaling group, which then terminates and replaces it. Fails with
    /// `Denied` where the role may not, and with `Invalid` where the instance is in no group.
    pub async fn ask(&self) -> Result<String, Failure> {
        match self.group.set_health(false, true).await {
            Ok(()) => Ok("its Auto Scaling group replaces this instance".to_owned()),
            Err(failure) => Err(match failure.kind {
                FailureKind::Invalid | FailureKind::NotFound => Failure {
                    sentence: format!(
                        "no Auto Scaling group replaces this instance ({}): set [deployment] on_dead = \"stay-out\", or \
                         let the group's own health check find it unhealthy",
                        failure.sentence
                    ),
                    ..failure
                },
                FailureKind::Throttled | FailureKind::Unavailable | FailureKind::Denied => failure,
            }),
        }
    }
}
