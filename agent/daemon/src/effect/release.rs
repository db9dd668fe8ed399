//! Auto Scaling: the lifecycle hook that waits for this instance is kept waiting while it leaves, and then let go.

use std::convert::Infallible;
use std::time::Duration;

use pitcrew_core::notice::NoticeKind;
use pitcrew_core::wire::{Failure, FailureKind};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::auto_scaling::{AutoScaling, LifecycleHook, Membership};

/// The transition of which our hook is one.
const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";

/// A heartbeat at least so often.
const BEAT: Duration = Duration::from_secs(30);

/// After a heartbeat that failed.
const BEAT_AGAIN: Duration = Duration::from_secs(5);

/// Lets go who waits for this instance.
#[derive(Debug)]
pub struct Release {
    group: AutoScaling,
    hook: Option<String>,
}

/// The hook that waits for this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Waiting {
    group: String,
    hook: String,
    timeout: Duration,
}

/// Where the instance stands in its group.
enum Place {
    /// In no group, or where nobody waits.
    Nobody,
    /// On the way there, where somebody may wait.
    Soon(String),
    /// Here somebody waits.
    Waiting(String),
}

impl Release {
    /// For the instance of `group`. `hook`: the lifecycle hook that is ours; `None`: the only one that there is.
    pub fn new(group: AutoScaling, hook: Option<String>) -> Self {
        Self { group, hook }
    }

    /// Tells whoever waits that the instance may go. Nobody waits for one that leaves for another reason than its
    /// group's. Fails with `Denied` where the role lacks one of the four permissions, and with `Invalid` where several
    /// hooks wait and none was named.
    pub async fn release(&self, why: NoticeKind) -> Result<(), Failure> {
        match why {
            NoticeKind::AutoScaling => {}
            NoticeKind::SpotTerminate
            | NoticeKind::SpotStop
            | NoticeKind::SpotHibernate
            | NoticeKind::Rebalance
            | NoticeKind::Scheduled
            | NoticeKind::Elastigroup
            | NoticeKind::Shutdown
            | NoticeKind::Operator => return Ok(()),
        }
        let group = match self.place().await? {
            Place::Nobody => return Ok(()),
            Place::Soon(group) => match self.hook_of(&group).await? {
                Some(waiting) => {
                    let sentence = format!("{} does not wait for this instance yet", waiting.object());
                    return Err(Failure { kind: FailureKind::Unavailable, sentence });
                }
                None => return Ok(()),
            },
            Place::Waiting(group) => group,
        };
        match self.hook_of(&group).await? {
            Some(waiting) => self.complete(&waiting).await,
            None => Ok(()),
        }
    }

    /// Keeps the hook waiting for as long as this is polled.
    pub async fn keep_waiting(&self) -> Infallible {
        let mut complained = false;
        loop {
            let pause = match self.beat().await {
                Ok(pause) => pause,
                Err(failure) if complained => {
                    debug!("{}", failure.sentence);
                    BEAT_AGAIN
                }
                Err(failure) => {
                    warn!("{}", failure.sentence);
                    complained = true;
                    BEAT_AGAIN
                }
            };
            sleep(pause).await;
        }
    }

    /// One heartbeat, where somebody waits; gives the time until the next.
    async fn beat(&self) -> Result<Duration, Failure> {
        let group = match self.place().await? {
            Place::Nobody => return Ok(BEAT),
            Place::Soon(_) => return Ok(BEAT_AGAIN),
            Place::Waiting(group) => group,
        };
        let Some(waiting) = self.hook_of(&group).await? else {
            return Ok(BEAT);
        };
        self.group.heartbeat(&waiting.group, &waiting.hook).await?;
        debug!(group = waiting.group, hook = waiting.hook, "lifecycle hook kept waiting");
        Ok(BEAT.min(waiting.timeout / 2))
    }

    async fn place(&self) -> Result<Place, Failure> {
        let Some(Membership { group, state }) = self.group.membership().await? else {
            return Ok(Place::Nobody);
        };
        Ok(match state.strip_prefix("Warmed:").unwrap_or(&state) {
            "Terminating:Wait" => Place::Waiting(group),
            // The target state is told before the group gets there.
            "Terminating" | "InService" | "Standby" | "Running" | "Stopped" | "Hibernated" => Place::Soon(group),
            _ => Place::Nobody,
        })
    }

    /// The hook that is ours; `None`: the group has none for instances that go.
    async fn hook_of(&self, group: &str) -> Result<Option<Waiting>, Failure> {
        let for_us = |hook: &LifecycleHook| {
            hook.transition == TERMINATING && self.hook.as_ref().is_none_or(|name| hook.name == *name)
        };
        let hooks: Vec<_> = self.group.hooks(group).await?.into_iter().filter(for_us).collect();
        let invalid = |sentence| Err(Failure { kind: FailureKind::Invalid, sentence });
        match (hooks.as_slice(), &self.hook) {
            ([], None) => Ok(None),
            ([], Some(name)) => invalid(format!(
                "Auto Scaling group `{group}` has no lifecycle hook `{name}` for instances that terminate: correct \
                 [leave] lifecycle_hook"
            )),
            ([hook], _) => Ok(Some(Waiting {
                group: group.to_owned(),
                hook: hook.name.clone(),
                timeout: hook.timeout.unwrap_or(BEAT * 2),
            })),
            (several, _) => invalid(format!(
                "Auto Scaling group `{group}` has {} lifecycle hooks for instances that terminate: say in [leave] \
                 lifecycle_hook which one waits for Pitcrew",
                several.len()
            )),
        }
    }

    async fn complete(&self, waiting: &Waiting) -> Result<(), Failure> {
        match self.group.complete(&waiting.group, &waiting.hook).await {
            Ok(()) => {
                info!(group = waiting.group, hook = waiting.hook, "lifecycle hook told that this instance may go");
                Ok(())
            }
            // It was told before a restart, or does not wait any more: a `ValidationError` like any other, told apart by
            // its text alone.
            Err(failure) if failure.sentence.contains("No active Lifecycle Action found") => Ok(()),
            Err(failure) => Err(failure),
        }
    }
}

impl Waiting {
    fn object(&self) -> String {
        format!("lifecycle hook `{}` of Auto Scaling group `{}`", self.hook, self.group)
    }
}
