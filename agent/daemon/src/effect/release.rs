//! Auto Scaling: the lifecycle hook that waits for this instance is kept waiting while it leaves, and then let go.

use std::convert::Infallible;
use std::sync::OnceLock;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_autoscaling::Client;
use aws_sdk_autoscaling::types::{AutoScalingInstanceDetails, LifecycleHook};
use pitcrew_core::ids::InstanceId;
use pitcrew_core::notice::NoticeKind;
use pitcrew_core::wire::{Failure, FailureKind};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::failure::Asked;

/// The transition of which our hook is one.
const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";

/// A heartbeat at least so often.
const BEAT: Duration = Duration::from_secs(30);

/// After a heartbeat that failed.
const BEAT_AGAIN: Duration = Duration::from_secs(5);

/// Lets go who waits for this instance.
pub struct Release {
    config: SdkConfig,
    instance: InstanceId,
    hook: Option<String>,
    client: OnceLock<Client>,
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
    /// For `instance`. `hook`: the lifecycle hook that is ours; `None`: the only one that there is.
    pub fn new(config: SdkConfig, instance: InstanceId, hook: Option<String>) -> Self {
        Self { config, instance, hook, client: OnceLock::new() }
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
        let request = self.client().record_lifecycle_action_heartbeat();
        let request = request
            .auto_scaling_group_name(&waiting.group)
            .lifecycle_hook_name(&waiting.hook)
            .instance_id(self.instance.as_str());
        request.send().await.map_err(|error| {
            self.asked("autoscaling:RecordLifecycleActionHeartbeat", &waiting.object()).explain(&error)
        })?;
        debug!(group = waiting.group, hook = waiting.hook, "lifecycle hook kept waiting");
        Ok(BEAT.min(waiting.timeout / 2))
    }

    async fn place(&self) -> Result<Place, Failure> {
        let request = self.client().describe_auto_scaling_instances().instance_ids(self.instance.as_str());
        let answer = request.send().await.map_err(|error| {
            let object = format!("instance `{}`", self.instance);
            self.asked("autoscaling:DescribeAutoScalingInstances", &object).explain(&error)
        })?;
        let found = answer.auto_scaling_instances().first();
        let group = found.and_then(AutoScalingInstanceDetails::auto_scaling_group_name);
        let state = found.and_then(AutoScalingInstanceDetails::lifecycle_state).unwrap_or_default();
        Ok(match (group, state.strip_prefix("Warmed:").unwrap_or(state)) {
            (Some(group), "Terminating:Wait") => Place::Waiting(group.to_owned()),
            // The target state is told before the group gets there.
            (Some(group), "Terminating" | "InService" | "Standby" | "Running" | "Stopped" | "Hibernated") => {
                Place::Soon(group.to_owned())
            }
            (Some(_), _) | (None, _) => Place::Nobody,
        })
    }

    /// The hook that is ours; `None`: the group has none for instances that go.
    async fn hook_of(&self, group: &str) -> Result<Option<Waiting>, Failure> {
        let request = self.client().describe_lifecycle_hooks().auto_scaling_group_name(group);
        let answer = request.send().await.map_err(|error| {
            self.asked("autoscaling:DescribeLifecycleHooks", &format!("Auto Scaling group `{group}`")).explain(&error)
        })?;
        let for_us = |hook: &&LifecycleHook| {
            hook.lifecycle_transition() == Some(TERMINATING)
                && self.hook.as_deref().is_none_or(|name| hook.lifecycle_hook_name() == Some(name))
        };
        let hooks: Vec<_> = answer.lifecycle_hooks().iter().filter(for_us).collect();
        let invalid = |sentence| Err(Failure { kind: FailureKind::Invalid, sentence });
        match (hooks.as_slice(), &self.hook) {
            ([], None) => Ok(None),
            ([], Some(name)) => invalid(format!(
                "Auto Scaling group `{group}` has no lifecycle hook `{name}` for instances that terminate: correct \
                 [leave] lifecycle_hook"
            )),
            ([hook], _) => Ok(Some(Waiting {
                group: group.to_owned(),
                hook: hook.lifecycle_hook_name().unwrap_or_default().to_owned(),
                timeout: hook
                    .heartbeat_timeout()
                    .and_then(|seconds| u64::try_from(seconds).ok())
                    .map_or(BEAT * 2, Duration::from_secs),
            })),
            (several, _) => invalid(format!(
                "Auto Scaling group `{group}` has {} lifecycle hooks for instances that terminate: say in [leave] \
                 lifecycle_hook which one waits for Pitcrew",
                several.len()
            )),
        }
    }

    async fn complete(&self, waiting: &Waiting) -> Result<(), Failure> {
        let request = self.client().complete_lifecycle_action();
        let request = request
            .auto_scaling_group_name(&waiting.group)
            .lifecycle_hook_name(&waiting.hook)
            .instance_id(self.instance.as_str())
            .lifecycle_action_result("CONTINUE");
        match request.send().await {
            Ok(_) => {
                info!(group = waiting.group, hook = waiting.hook, "lifecycle hook told that this instance may go");
                Ok(())
            }
            // It was told before a restart, or does not wait any more.
            Err(error) if error.as_service_error().is_some_and(|refusal| is_over(refusal.meta().message())) => Ok(()),
            Err(error) => Err(self.asked("autoscaling:CompleteLifecycleAction", &waiting.object()).explain(&error)),
        }
    }

    fn asked<'a>(&self, permission: &'static str, object: &'a str) -> Asked<'a> {
        Asked { permission, object, resource: "*" }
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| Client::new(&self.config))
    }
}

impl Waiting {
    fn object(&self) -> String {
        format!("lifecycle hook `{}` of Auto Scaling group `{}`", self.hook, self.group)
    }
}

/// A `ValidationError` like any other, told apart by its text alone.
fn is_over(message: Option<&str>) -> bool {
    message.is_some_and(|message| message.contains("No active Lifecycle Action found"))
}

impl std::fmt::Debug for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Release({})", self.instance)
    }
}
