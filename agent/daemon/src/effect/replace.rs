//! Asks whoever keeps up the fleet to replace this instance: its Auto Scaling group, by calling it unhealthy there.

use std::sync::OnceLock;

use aws_config::SdkConfig;
use aws_sdk_autoscaling::Client;
use pitcrew_core::ids::InstanceId;
use pitcrew_core::wire::{Failure, FailureKind};

use super::failure::Asked;

/// Has this instance replaced.
pub struct Replace {
    config: SdkConfig,
    instance: InstanceId,
    client: OnceLock<Client>,
}

impl Replace {
    /// For `instance`.
    pub fn new(config: SdkConfig, instance: InstanceId) -> Self {
        Self { config, instance, client: OnceLock::new() }
    }

    /// Calls the instance unhealthy in its Auto Scaling group, which then terminates and replaces it. Fails with
    /// `Denied` where the role may not, and with `Invalid` where the instance is in no group.
    pub async fn ask(&self) -> Result<String, Failure> {
        let client = self.client.get_or_init(|| Client::new(&self.config));
        let request = client.set_instance_health().instance_id(self.instance.as_str()).health_status("Unhealthy");
        let asked = Asked {
            permission: "autoscaling:SetInstanceHealth",
            object: &format!("instance `{}`", self.instance),
            resource: "its Auto Scaling group",
        };
        match request.should_respect_grace_period(false).send().await {
            Ok(_) => Ok("its Auto Scaling group replaces this instance".to_owned()),
            Err(error) => {
                let failure = asked.explain(&error);
                Err(match failure.kind {
                    FailureKind::Invalid | FailureKind::NotFound => Failure {
                        sentence: format!(
                            "no Auto Scaling group replaces this instance ({}): set [deployment] on_dead = \"stay-out\", \
                             or let the group's own health check find it unhealthy",
                            failure.sentence
                        ),
                        ..failure
                    },
                    FailureKind::Throttled | FailureKind::Unavailable | FailureKind::Denied => failure,
                })
            }
        }
    }
}
