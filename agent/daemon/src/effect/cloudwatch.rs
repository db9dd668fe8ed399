//! Tells CloudWatch how this instance is: a handful of numbers, once a period, where the operator asked for it.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use aws_config::SdkConfig;
use form_urlencoded::Serializer;
use pitcrew_core::ids::InstanceId;
use pitcrew_core::view::View;
use pitcrew_core::wire::Failure;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, warn};

use super::aws::Doors;
use super::failure::Asked;
use super::query::Service;
use crate::config::CloudWatch as Settings;

/// The API's version.
const VERSION: &str = "2010-08-01";

/// One who tells.
pub struct CloudWatch {
    settings: Settings,
    service: Service,
    instance: InstanceId,
}

impl CloudWatch {
    /// Tells of `instance` as `settings` say; `domain` is `amazonaws.com`, or a partition's own.
    pub fn new(settings: Settings, config: SdkConfig, doors: Doors, instance: InstanceId, domain: &str) -> Self {
        let service = Service { config, doors, name: "monitoring", id: "CloudWatch", domain: domain.to_owned() };
        Self { settings, service, instance }
    }

    /// Tells every period. What fails is said once, until it works again.
    pub async fn run(self, shown: watch::Receiver<Option<Arc<View>>>) -> Infallible {
        let mut ticks = interval(self.settings.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            ticks.tick().await;
            let view = shown.borrow().clone();
            let Some(view) = view else { continue };
            match self.tell(&view).await {
                Ok(()) => failing = false,
                Err(failure) if failing => debug!("{}", failure.sentence),
                Err(failure) => {
                    warn!("CloudWatch is not told how this instance is: {}", failure.sentence);
                    failing = true;
                }
            }
        }
    }

    /// Tells once. Fails with `Denied` where the role lacks `cloudwatch:PutMetricData`.
    pub async fn tell(&self, view: &View) -> Result<(), Failure> {
        let object = format!("namespace `{}`", self.settings.namespace);
        // Metrics have no ARN; a policy narrows them by the condition `cloudwatch:namespace`.
        let asked = Asked { permission: "cloudwatch:PutMetricData", object: &object, resource: "*" };
        self.service.post(self.form(view), &asked).await.map(drop)
    }

    fn form(&self, view: &View) -> String {
        let is = |truth: bool| if truth { 1 } else { 0 };
        let values = [
            ("Ready", is(view.readiness.ready)),
            ("Healthy", is(view.healthy)),
            ("InService", is(view.wanted.is_in() && view.settled)),
            ("Leaving", is(view.leaving_in_ms.is_some())),
            ("Blind", is(view.blind_since.is_some())),
            ("Troubles", view.troubles.len()),
        ];
        let mut form = Serializer::new(String::new());
        form.append_pair("Action", "PutMetricData")
            .append_pair("Version", VERSION)
            .append_pair("Namespace", &self.settings.namespace);
        for (number, (name, value)) in (1..).zip(values) {
            let key = |key: &str| format!("MetricData.member.{number}.{key}");
            form.append_pair(&key("MetricName"), name)
                .append_pair(&key("Dimensions.member.1.Name"), "InstanceId")
                .append_pair(&key("Dimensions.member.1.Value"), self.instance.as_str())
                .append_pair(&key("Value"), &value.to_string())
                .append_pair(&key("Unit"), if name == "Troubles" { "Count" } else { "None" });
        }
        form.finish()
    }
}

impl fmt::Debug for CloudWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloudWatch({})", self.settings.namespace)
    }
}
