//! The Auto Scaling group that this instance may be in: the five calls that it makes there, without the service's SDK.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_smithy_xml::decode::{Document, XmlDecodeError, try_data};
use form_urlencoded::Serializer;
use pitcrew_core::ids::InstanceId;
use pitcrew_core::wire::{Failure, FailureKind};

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
        self.call(&asked, &call).await.map(drop)
    }

    /// Where the instance stands; `None`: in no group. Fails with `Denied` where the role lacks
    /// `autoscaling:DescribeAutoScalingInstances`.
    pub(crate) async fn membership(&self) -> Result<Option<Membership>, Failure> {
        let permission = "autoscaling:DescribeAutoScalingInstances";
        let asked = Asked { permission, object: &self.object(), resource: "*" };
        let text = self.call(&asked, &[("InstanceIds.member.1", self.instance.as_str())]).await?;
        let mut members = read(&asked, &text, "AutoScalingInstances", ["AutoScalingGroupName", "LifecycleState"])?;
        Ok(members.pop().filter(|[group, _]| !group.is_empty()).map(|[group, state]| Membership { group, state }))
    }

    /// Every lifecycle hook of a group. Fails with `Denied` where the role lacks `autoscaling:DescribeLifecycleHooks`.
    pub(super) async fn hooks(&self, group: &str) -> Result<Vec<LifecycleHook>, Failure> {
        let object = format!("Auto Scaling group `{group}`");
        let asked = Asked { permission: "autoscaling:DescribeLifecycleHooks", object: &object, resource: "*" };
        let text = self.call(&asked, &[("AutoScalingGroupName", group)]).await?;
        let facts = ["LifecycleHookName", "LifecycleTransition", "HeartbeatTimeout"];
        let hooks = read(&asked, &text, "LifecycleHooks", facts)?;
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
        self.call(&asked, &[&whose, more].concat()).await.map(drop)
    }

    async fn call(&self, asked: &Asked<'_>, parameters: &[(&str, &str)]) -> Result<String, Failure> {
        let form = Serializer::new(String::new())
            .append_pair("Action", asked.operation())
            .append_pair("Version", VERSION)
            .extend_pairs(parameters)
            .finish();
        let body = self.service.post(form, asked).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    fn object(&self) -> String {
        format!("instance `{}`", self.instance)
    }
}

fn read<const N: usize>(
    asked: &Asked<'_>,
    text: &str,
    list: &str,
    facts: [&str; N],
) -> Result<Vec<[String; N]>, Failure> {
    members(text, list, facts).map_err(|error| {
        let sentence = format!("{} was answered with what cannot be read: {error}", asked.operation());
        Failure { kind: FailureKind::Unavailable, sentence }
    })
}

/// These facts of each member of a list, empty where one is not told:
/// `<XResponse><XResult><LIST><member><FACT>…</FACT>…</member>…</LIST></XResult>…</XResponse>`.
fn members<const N: usize>(text: &str, list: &str, facts: [&str; N]) -> Result<Vec<[String; N]>, XmlDecodeError> {
    let mut found = Vec::new();
    let mut document = Document::new(text);
    let mut root = document.root_element()?;
    while let Some(mut result) = root.next_tag() {
        while let Some(mut of) = result.next_tag() {
            if of.start_el().local() != list {
                continue;
            }
            while let Some(mut member) = of.next_tag() {
                let mut told = BTreeMap::new();
                while let Some(mut fact) = member.next_tag() {
                    let name = facts.into_iter().find(|name| *name == fact.start_el().local());
                    if let Some(name) = name {
                        told.insert(name, try_data(&mut fact)?.into_owned());
                    }
                }
                found.push(facts.map(|name| told.remove(name).unwrap_or_default()));
            }
        }
    }
    Ok(found)
}

impl fmt::Debug for AutoScaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AutoScaling({})", self.instance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_past_what_is_nested_and_what_is_not_asked() {
        let text = "<DescribeAutoScalingInstancesResponse><DescribeAutoScalingInstancesResult><NextToken>t</NextToken>\
            <AutoScalingInstances><member><LaunchTemplate><Version>3</Version></LaunchTemplate>\
            <LifecycleState>InService</LifecycleState><AutoScalingGroupName>fleet</AutoScalingGroupName></member>\
            <member><InstanceId>i-2</InstanceId></member></AutoScalingInstances>\
            </DescribeAutoScalingInstancesResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>\
            </DescribeAutoScalingInstancesResponse>";
        let read = members(text, "AutoScalingInstances", ["AutoScalingGroupName", "LifecycleState"]).unwrap();
        assert_eq!(read, [["fleet", "InService"], ["", ""]]);
        assert_eq!(members(text, "LifecycleHooks", ["LifecycleHookName"]).unwrap(), [[""; 1]; 0]);
        assert!(members("no XML", "AutoScalingInstances", ["LifecycleState"]).is_err());
    }
}
