//! The Auto Scaling group that this instance may be in: the five calls that it makes there, without the service's SDK.

use std::fmt;
use std::time::Duration;

use aws_config::SdkConfig;
use pitcrew_core::ids::InstanceId;
use pitcrew_core::wire::Failure;

use super::aws::Doors;
use super::failure::Asked;
use super::query::Service;

/// The API's version.
const VERSION: &str = "2011-01-01";

/// The group of one instance, or nobody where it is in none.
#[derive(Clone)]
pub struct AutoScaling {
    service: Service,
    instance: InstanceId,
}

/// Where the instance stands in its group.
pub(crate) struct Membership {
    pub(super) group: String,
    /// `InService`, `Terminating:Wait` …
    pub(super) state: String,
}

/// Who waits at a transition of a group's instances.
pub(super) struct LifecycleHook {
    pub(super) name: String,
    /// `autoscaling:EC2_INSTANCE_TERMINATING` or `…_LAUNCHING`.
    pub(super) transition: String,
    /// How long it waits without a heartbeat.
    pub(super) timeout: Option<Duration>,
}

impl AutoScaling {
    /// Of `instance`; `domain` is `amazonaws.com`, or a partition's own. Connects to nothing yet.
    pub fn new(config: SdkConfig, doors: Doors, instance: InstanceId, domain: &str) -> Self {
        let service = Service { config, doors, name: "autoscaling", id: "Auto Scaling", domain: domain.to_owned() };
        Self { service, instance }
    }

    /// `SetInstanceHealth`, once. `in_grace` also counts while the group's grace period for new instances lasts. Fails
    /// with `Denied` where the role lacks `autoscaling:SetInstanceHealth`, and with `Invalid` where the instance is in no
    /// group.
    pub(super) async fn set_health(&self, healthy: bool, in_grace: bool) -> Result<(), Failure> {
        let asked = Asked {
            permission: "autoscaling:SetInstanceHealth",
            object: &self.object(),
            resource: "its Auto Scaling group",
        };
        let call = [
            ("InstanceId", self.instance.as_str()),
            ("HealthStatus", if healthy { "Healthy" } else { "Unhealthy" }),
            ("ShouldRespectGracePeriod", if in_grace { "false" } else { "true" }),
        ];
        self.service.call(VERSION, &asked, &call).await.map(drop)
    }

    /// Where the instance stands; `None`: in no group. Fails with `Denied` where the role lacks
    /// `autoscaling:DescribeAutoScalingInstances`.
    pub(crate) async fn membership(&self) -> Result<Option<Membership>, Failure> {
        let permission = "autoscaling:DescribeAutoScalingInstances";
        let asked = Asked { permission, object: &self.object(), resource: "*" };
        let call = [("InstanceIds.member.1", self.instance.as_str())];
        let answer = self.service.call(VERSION, &asked, &call).await?;
        let mut members = answer.members("AutoScalingInstances", ["AutoScalingGroupName", "LifecycleState"])?;
        Ok(members.pop().filter(|[group, _]| !group.is_empty()).map(|[group, state]| Membership { group, state }))
    }

    /// Every lifecycle hook of a group. Fails with `Denied` where the role lacks `autoscaling:DescribeLifecycleHooks`.
    pub(super) async fn hooks(&self, group: &str) -> Result<Vec<LifecycleHook>, Failure> {
        let object = format!("Auto Scaling group `{group}`");
        let asked = Asked { permission: "autoscaling:DescribeLifecycleHooks", object: &object, resource: "*" };
        let answer = self.service.call(VERSION, &asked, &[("AutoScalingGroupName", group)]).await?;
        let facts = ["LifecycleHookName", "LifecycleTransition", "HeartbeatTimeout"];
        let hooks = answer.members("LifecycleHooks", facts)?;
        let hook = |[name, transition, timeout]: [String; 3]| {
            let timeout = timeout.parse().ok().map(Duration::from_secs);
            LifecycleHook { name, transition, timeout }
        };
        Ok(hooks.into_iter().map(hook).collect())
    }

    /// Lets a hook wait for as long again. Fails with `Denied` where the role lacks
    /// `autoscaling:RecordLifecycleActionHeartbeat`.
    pub(super) async fn heartbeat(&self, group: &str, hook: &str) -> Result<(), Failure> {
        let permission = "autoscaling:RecordLifecycleActionHeartbeat";
        self.of_hook(permission, group, hook, &[]).await
    }

    /// Tells a hook that the instance may go. Fails with `Denied` where the role lacks
    /// `autoscaling:CompleteLifecycleAction`, and with `Invalid` where the hook waits for nobody.
    pub(super) async fn complete(&self, group: &str, hook: &str) -> Result<(), Failure> {
        let permission = "autoscaling:CompleteLifecycleAction";
        self.of_hook(permission, group, hook, &[("LifecycleActionResult", "CONTINUE")]).await
    }

    async fn of_hook(
        &self,
        permission: &'static str,
        group: &str,
        hook: &str,
        more: &[(&str, &str)],
    ) -> Result<(), Failure> {
        let object = format!("lifecycle hook `{hook}` of Auto Scaling group `{group}`");
        let asked = Asked { permission, object: &object, resource: "*" };
        let whose =
            [("AutoScalingGroupName", group), ("LifecycleHookName", hook), ("InstanceId", self.instance.as_str())];
        self.service.call(VERSION, &asked, &[&whose, more].concat()).await.map(drop)
    }

    fn object(&self) -> String {
        format!("instance `{}`", self.instance)
    }
}

impl fmt::Debug for AutoScaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AutoScaling({})", self.instance)
    }
}
