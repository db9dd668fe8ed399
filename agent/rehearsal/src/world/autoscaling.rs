//! An Auto Scaling group of the world, as far as an instance that it terminates can see (Query protocol, 2011-01-01).

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::wire::{ApiError, Form, Xml};

pub(super) const NAMESPACE: &str = "http://autoscaling.amazonaws.com/doc/2011-01-01/";
pub(super) const VERSION: &str = "2011-01-01";

const GROUP: &str = "sample-asg";
const HOOK: &str = "leave-in-time";
const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";
/// However often it is kept waiting, a hook waits no longer.
const GLOBAL_TIMEOUT: Duration = Duration::from_secs(48 * 3600);

/// The instances that the group terminates. One that it only runs is not among them: no agent asks about itself then.
#[derive(Debug, Default)]
pub(super) struct AutoScaling {
    leaving: BTreeMap<String, Leaving>,
}

#[derive(Debug)]
struct Leaving {
    /// `Terminating` until then, `Terminating:Wait` from then on.
    waits_from: Instant,
    /// When the hook's patience is over.
    until: Instant,
    /// `HeartbeatTimeout` of the hook.
    timeout: Duration,
    completed: bool,
}

/// Why a group goes on to terminate an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proceeds {
    /// The lifecycle action was completed.
    Completed,
    /// The hook has waited for its whole timeout.
    TimedOut,
}

impl AutoScaling {
    /// The group begins to terminate the instance; its hook waits from `lag` later on, for `timeout` at a time.
    pub(super) fn terminate(&mut self, now: Instant, instance: &str, lag: Duration, timeout: Duration) {
        let waits_from = now + lag;
        let leaving = Leaving { waits_from, until: waits_from + timeout, timeout, completed: false };
        self.leaving.insert(instance.to_owned(), leaving);
    }

    /// Whether the group waits no longer for this instance.
    pub(super) fn proceeds(&self, now: Instant, instance: &str) -> Option<Proceeds> {
        let leaving = self.leaving.get(instance)?;
        match leaving {
            Leaving { completed: true, .. } => Some(Proceeds::Completed),
            Leaving { until, .. } if now >= *until => Some(Proceeds::TimedOut),
            Leaving { .. } => None,
        }
    }

    pub(super) fn call(&mut self, now: Instant, action: &str, form: &Form) -> Result<Xml, ApiError> {
        match action {
            "DescribeAutoScalingInstances" => Ok(self.describe_instances(now, form)),
            "DescribeLifecycleHooks" => self.describe_hooks(form),
            "RecordLifecycleActionHeartbeat" => {
                let leaving = self.waiting(now, form)?;
                leaving.until = (now + leaving.timeout).min(leaving.waits_from + GLOBAL_TIMEOUT);
                Ok(Xml::default())
            }
            "CompleteLifecycleAction" => {
                let result = form.required("LifecycleActionResult")?;
                if !matches!(result, "CONTINUE" | "ABANDON") {
                    return Err(ApiError::sender(
                        "ValidationError",
                        "LifecycleActionResult must be either ABANDON or CONTINUE",
                    ));
                }
                self.waiting(now, form)?.completed = true;
                Ok(Xml::default())
            }
            // The group begins to replace what is called unhealthy; when, is its own business.
            "SetInstanceHealth" => {
                form.required("InstanceId")?;
                match form.required("HealthStatus")? {
                    "Healthy" | "Unhealthy" => Ok(Xml::default()),
                    other => Err(ApiError::sender("ValidationError", format!("{other} is no health status"))),
                }
            }
            other => Err(ApiError::sender(
                "InvalidAction",
                format!("Could not find operation {other} for version {VERSION}"),
            )),
        }
    }

    fn describe_instances(&self, now: Instant, form: &Form) -> Xml {
        let asked = form.list("InstanceIds");
        let chosen = self.leaving.iter().filter(|(id, _)| asked.is_empty() || asked.contains(&id.as_str()));
        let mut xml = Xml::default();
        xml.list("AutoScalingInstances", chosen, |xml, (id, leaving)| {
            xml.text("InstanceId", id);
            xml.text("InstanceType", "m7i.large");
            xml.text("AutoScalingGroupName", GROUP);
            xml.text("AvailabilityZone", "us-west-2a");
            xml.text("LifecycleState", leaving.state(now));
            xml.text("HealthStatus", "HEALTHY");
            xml.text("ProtectedFromScaleIn", false);
        });
        xml
    }

    fn describe_hooks(&self, form: &Form) -> Result<Xml, ApiError> {
        group(form)?;
        let timeout = self.leaving.values().map(|leaving| leaving.timeout).next().unwrap_or_default();
        let mut xml = Xml::default();
        xml.list("LifecycleHooks", [HOOK], |xml, name| {
            xml.text("LifecycleHookName", name);
            xml.text("AutoScalingGroupName", GROUP);
            xml.text("LifecycleTransition", TERMINATING);
            xml.text("HeartbeatTimeout", timeout.as_secs());
            xml.text("GlobalTimeout", GLOBAL_TIMEOUT.as_secs());
            xml.text("DefaultResult", "ABANDON");
        });
        Ok(xml)
    }

    /// The instance of a call, which must be one that the hook waits for.
    fn waiting(&mut self, now: Instant, form: &Form) -> Result<&mut Leaving, ApiError> {
        group(form)?;
        let hook = form.required("LifecycleHookName")?;
        if hook != HOOK {
            return Err(ApiError::sender("ValidationError", format!("Lifecycle hook {hook} not found")));
        }
        let instance = form.required("InstanceId")?;
        self.leaving
            .get_mut(instance)
            .filter(|leaving| now >= leaving.waits_from && now < leaving.until && !leaving.completed)
            .ok_or_else(|| {
                ApiError::sender(
                    "ValidationError",
                    format!("No active Lifecycle Action found with instance ID {instance}"),
                )
            })
    }
}

impl Leaving {
    fn state(&self, now: Instant) -> &'static str {
        if now < self.waits_from {
            "Terminating"
        } else if self.completed || now >= self.until {
            "Terminating:Proceed"
        } else {
            "Terminating:Wait"
        }
    }
}

fn group(form: &Form) -> Result<(), ApiError> {
    let name = form.required("AutoScalingGroupName")?;
    if name == GROUP {
        Ok(())
    } else {
        Err(ApiError::sender("ValidationError", format!("AutoScalingGroup name not found - no such group: {name}")))
    }
}
