//! Says in the instance's Auto Scaling group how the instance is; the group replaces one that is said to be unhealthy.

use std::sync::OnceLock;

use aws_config::SdkConfig;
use aws_sdk_autoscaling::Client;
use pitcrew_core::ids::InstanceId;
use pitcrew_core::wire::Failure;

use super::failure::Asked;

/// The group that this instance may be in.
pub(super) struct AutoScaling {
    config: SdkConfig,
    client: OnceLock<Client>,
    pub(super) instance: InstanceId,
}

impl AutoScaling {
    /// Of `instance`; connects to nothing yet.
    pub(super) fn new(config: SdkConfig, instance: InstanceId) -> Self {
        Self { config, client: OnceLock::new(), instance }
    }

    /// `SetInstanceHealth`, once. `in_grace` also counts while the group's grace period for new instances lasts. Fails
    /// with `Denied` where the role lacks `autoscaling:SetInstanceHealth`, and with `Invalid` where the instance is in no
    /// group.
    pub(super) async fn set_health(&self, healthy: bool, in_grace: bool) -> Result<(), Failure> {
        let asked = Asked {
            permission: "autoscaling:SetInstanceHealth",
            object: &format!("instance `{}`", self.instance),
            resource: "its Auto Scaling group",
        };
        let client = self.client.get_or_init(|| Client::new(&self.config));
        let call = client
            .set_instance_health()
            .instance_id(self.instance.as_str())
            .health_status(if healthy { "Healthy" } else { "Unhealthy" })
            .should_respect_grace_period(!in_grace);
        call.send().await.map(drop).map_err(|error| asked.explain(&error))
    }
}
