//! The load balancing API (Query protocol, version 2015-12-01) over the world's target groups.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use fastrand::Rng;
use http::StatusCode;
use tokio::time::Instant;

use super::calls::Effect;
use super::targets::{GroupSettings, TargetGroup, TargetHealth, TargetId};
use super::wire::{ApiError, Form, Xml};

pub(super) const NAMESPACE: &str = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/";
pub(super) const VERSION: &str = "2015-12-01";
/// Classic load balancers share endpoint and protocol; the world has none.
pub(super) const CLASSIC_VERSION: &str = "2012-06-01";
pub(super) const CLASSIC_NAMESPACE: &str = "http://elasticloadbalancing.amazonaws.com/doc/2012-06-01/";

/// How many things one page holds when the caller does not say.
const PAGE: usize = 400;

/// A registration reaches the data plane after this many milliseconds.
const REGISTRATION_LAG: std::ops::Range<u64> = 1000..3000;
/// A deregistration reaches the data plane after this many milliseconds.
const DEREGISTRATION_LAG: std::ops::Range<u64> = 100..3000;

/// The load balancers and target groups of the world.
#[derive(Debug)]
pub(super) struct LoadBalancing {
    pub(super) groups: Vec<TargetGroup>,
    /// Instance id to address.
    pub(super) instances: BTreeMap<String, IpAddr>,
    /// What was registered when the world came up, by group name.
    pub(super) from_the_start: Vec<(String, TargetId)>,
    /// DNS name and port of the listener.
    pub(super) listener: (String, u16),
}

/// A reply and what the call changed.
pub(super) struct Done {
    pub(super) result: Xml,
    pub(super) effects: Vec<Effect>,
}

impl From<Xml> for Done {
    fn from(result: Xml) -> Self {
        Self { result, effects: Vec::new() }
    }
}

impl LoadBalancing {
    pub(super) fn call(&mut self, now: Instant, action: &str, form: &Form, rng: &mut Rng) -> Result<Done, ApiError> {
        match action {
            "DescribeTargetGroups" => self.describe_target_groups(form).map(Done::from),
            "DescribeTargetGroupAttributes" => self.describe_attributes(form).map(Done::from),
            "DescribeTargetHealth" => self.describe_target_health(now, form).map(Done::from),
            "RegisterTargets" => self.register(now, form, rng),
            "DeregisterTargets" => self.deregister(now, form, rng),
            "DescribeLoadBalancers" => self.describe_load_balancers(form).map(Done::from),
            "DescribeListeners" => self.describe_listeners(form).map(Done::from),
            other => Err(ApiError::sender(
                "InvalidAction",
                format!("Could not find operation {other} for version {VERSION}"),
            )),
        }
    }

    fn describe_target_groups(&self, form: &Form) -> Result<Xml, ApiError> {
        let (names, arns) = (form.list("Names"), form.list("TargetGroupArns"));
        let settings = || self.groups.iter().map(|group| &group.settings);
        let missing = names.iter().any(|name| !settings().any(|group| group.name == *name))
            || arns.iter().any(|arn| !settings().any(|group| group.arn == *arn));
        if missing {
            return Err(ApiError::sender("TargetGroupNotFound", "One or more target groups not found"));
        }
        let balancer = form.get("LoadBalancerArn");
        let chosen: Vec<_> = settings()
            .filter(|group| names.is_empty() || names.contains(&group.name.as_str()))
            .filter(|group| arns.is_empty() || arns.contains(&group.arn.as_str()))
            .filter(|group| balancer.is_none() || group.load_balancer.as_deref() == balancer)
            .collect();
        let (page, next) = page(&chosen, form)?;
        let mut xml = Xml::default();
        xml.list("TargetGroups", page, |xml, group| describe_group(xml, group));
        if let Some(next) = next {
            xml.text("NextMarker", next);
        }
        Ok(xml)
    }

    fn describe_attributes(&mut self, form: &Form) -> Result<Xml, ApiError> {
        let group = self.group(form)?;
        let delay = group.settings.deregistration_delay.as_secs().to_string();
        let attributes = [
            ("stickiness.enabled", "false"),
            ("deregistration_delay.timeout_seconds", delay.as_str()),
            ("slow_start.duration_seconds", "0"),
            ("load_balancing.algorithm.type", "round_robin"),
            ("load_balancing.cross_zone.enabled", "use_load_balancer_configuration"),
            ("target_group_health.dns_failover.minimum_healthy_targets.count", "1"),
            ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1"),
        ];
        let mut xml = Xml::default();
        xml.list("Attributes", attributes, |xml, (key, value)| {
            xml.text("Key", key);
            xml.text("Value", value);
        });
        Ok(xml)
    }

    fn describe_target_health(&mut self, now: Instant, form: &Form) -> Result<Xml, ApiError> {
        let group = self.group(form)?;
        let asked = targets(form, group.settings.port)?;
        let described: Vec<(TargetId, TargetHealth)> = if asked.is_empty() {
            group.all_health(now)
        } else {
            asked
                .into_iter()
                .map(|target| {
                    let health = group.health(now, &target);
                    (target, health)
                })
                .collect()
        };
        let mut xml = Xml::default();
        xml.list("TargetHealthDescriptions", described, |xml, (target, health)| {
            xml.element("Target", |xml| {
                xml.text("Id", &target.id);
                xml.text("Port", target.port);
            });
            xml.text("HealthCheckPort", target.port);
            xml.element("TargetHealth", |xml| {
                xml.text("State", health.state);
                if let Some(reason) = health.reason {
                    xml.text("Reason", reason);
                }
                if let Some(description) = &health.description {
                    xml.text("Description", description);
                }
            });
        });
        Ok(xml)
    }

    fn register(&mut self, now: Instant, form: &Form, rng: &mut Rng) -> Result<Done, ApiError> {
        let instances = self.instances.clone();
        let from_the_start = self.from_the_start.clone();
        let group = self.group(form)?;
        let targets = targets(form, group.settings.port)?;
        let addresses = targets
            .iter()
            .map(|target| {
                instances.get(&target.id).copied().ok_or_else(|| {
                    ApiError::sender(
                        "InvalidTarget",
                        format!(
                            "The following targets are not in a running state and cannot be registered: '{}'",
                            target.id
                        ),
                    )
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut done = Done::from(Xml::default());
        for (target, address) in targets.into_iter().zip(addresses) {
            let lag = Duration::from_millis(rng.u64(REGISTRATION_LAG));
            let changed = group.register(now, target.clone(), address, lag);
            let name = group.settings.name.clone();
            done.effects.push(Effect::Registered {
                from_the_start: from_the_start.contains(&(name.clone(), target.clone())),
                group: name,
                target,
                changed,
            });
        }
        Ok(done)
    }

    fn deregister(&mut self, now: Instant, form: &Form, rng: &mut Rng) -> Result<Done, ApiError> {
        let group = self.group(form)?;
        let targets = targets(form, group.settings.port)?;
        let mut done = Done::from(Xml::default());
        for target in targets {
            let registered_beside = group.registered_beside(now, &target.id);
            let healthy_beside = group.healthy_beside(now, &target.id);
            let lag = Duration::from_millis(rng.u64(DEREGISTRATION_LAG));
            let changed = group.deregister(now, &target, lag);
            done.effects.push(Effect::Deregistered {
                group: group.settings.name.clone(),
                target,
                changed,
                registered_beside,
                healthy_beside,
            });
        }
        Ok(done)
    }

    fn describe_load_balancers(&self, form: &Form) -> Result<Xml, ApiError> {
        let asked = form.list("LoadBalancerArns");
        let arns = self.balancers();
        if asked.iter().any(|arn| !arns.contains(arn)) {
            return Err(ApiError::sender("LoadBalancerNotFound", "One or more load balancers not found"));
        }
        let chosen = arns.into_iter().filter(|arn| asked.is_empty() || asked.contains(arn));
        let mut xml = Xml::default();
        xml.list("LoadBalancers", chosen, |xml, arn| {
            xml.text("LoadBalancerArn", arn);
            xml.text("LoadBalancerName", arn.rsplit('/').nth(1).unwrap_or(arn));
            xml.text("DNSName", &self.listener.0);
            xml.text("Scheme", "internal");
            xml.text("Type", "application");
            xml.text("IpAddressType", "ipv4");
            xml.text("VpcId", VPC);
            xml.element("State", |xml| xml.text("Code", "active"));
        });
        Ok(xml)
    }

    fn describe_listeners(&self, form: &Form) -> Result<Xml, ApiError> {
        let balancer = form.get("LoadBalancerArn");
        let chosen = self.groups.iter().map(|group| &group.settings).filter(|group| {
            group.load_balancer.is_some() && (balancer.is_none() || group.load_balancer.as_deref() == balancer)
        });
        let mut xml = Xml::default();
        xml.list("Listeners", chosen, |xml, group| {
            let balancer = group.load_balancer.as_deref().unwrap_or_default();
            let listener = balancer.replace(":loadbalancer/", ":listener/");
            xml.text("ListenerArn", format!("{listener}/0123456789abcdef"));
            xml.text("LoadBalancerArn", balancer);
            xml.text("Port", self.listener.1);
            xml.text("Protocol", "HTTP");
            xml.list("DefaultActions", [group], |xml, group| {
                xml.text("Type", "forward");
                xml.text("TargetGroupArn", &group.arn);
                xml.text("Order", 1);
            });
        });
        Ok(xml)
    }

    fn balancers(&self) -> Vec<&str> {
        let mut arns: Vec<_> = self.groups.iter().filter_map(|group| group.settings.load_balancer.as_deref()).collect();
        arns.dedup();
        arns
    }

    fn group(&mut self, form: &Form) -> Result<&mut TargetGroup, ApiError> {
        let arn = form.required("TargetGroupArn")?;
        if !arn.starts_with("arn:") {
            return Err(ApiError::sender("ValidationError", format!("'{arn}' is not a valid target group ARN")));
        }
        self.groups
            .iter_mut()
            .find(|group| group.settings.arn == arn)
            .ok_or_else(|| ApiError::sender("TargetGroupNotFound", format!("Target groups '{arn}' not found")))
    }
}

/// What a refused action is answered.
pub(super) fn access_denied(role: &str, action: &str) -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        "AccessDenied",
        format!(
            "User: {role} is not authorized to perform: elasticloadbalancing:{action} because no identity-based \
             policy allows the elasticloadbalancing:{action} action"
        ),
    )
}

/// Describes the world's classic load balancers: there are none.
pub(super) fn classic(action: &str) -> Result<Xml, ApiError> {
    if action == "DescribeLoadBalancers" {
        let mut xml = Xml::default();
        xml.list("LoadBalancerDescriptions", [(); 0], |_, ()| {});
        Ok(xml)
    } else {
        Err(ApiError::sender("LoadBalancerNotFound", "There is no ACTIVE Load Balancer of that name"))
    }
}

const VPC: &str = "vpc-0123456789abcdef0";

fn describe_group(xml: &mut Xml, group: &GroupSettings) {
    xml.text("TargetGroupArn", &group.arn);
    xml.text("TargetGroupName", &group.name);
    xml.text("Protocol", "HTTP");
    xml.text("ProtocolVersion", "HTTP1");
    xml.text("Port", group.port);
    xml.text("VpcId", VPC);
    xml.text("HealthCheckProtocol", "HTTP");
    xml.text("HealthCheckPort", "traffic-port");
    xml.text("HealthCheckEnabled", true);
    xml.text("HealthCheckIntervalSeconds", group.check.interval.as_secs());
    xml.text("HealthCheckTimeoutSeconds", group.check.timeout.as_secs());
    xml.text("HealthyThresholdCount", group.healthy_threshold);
    xml.text("UnhealthyThresholdCount", group.unhealthy_threshold);
    xml.text("HealthCheckPath", &group.check.path);
    xml.element("Matcher", |xml| {
        let (first, last) = (group.check.matcher.start(), group.check.matcher.end());
        if first == last {
            xml.text("HttpCode", first);
        } else {
            xml.text("HttpCode", format!("{first}-{last}"));
        }
    });
    xml.list("LoadBalancerArns", &group.load_balancer, |xml, arn| {
        // A list of plain strings: the text stands in `member` itself.
        xml.0.push_str(arn);
    });
    xml.text("TargetType", "instance");
    xml.text("IpAddressType", "ipv4");
}

fn targets(form: &Form, default_port: u16) -> Result<Vec<TargetId>, ApiError> {
    form.structures("Targets")
        .into_iter()
        .map(|fields| {
            let id = fields.get("Id").copied().unwrap_or_default();
            if !id.starts_with("i-") {
                return Err(ApiError::sender(
                    "InvalidTarget",
                    format!("The following target is not valid for this target group: '{id}'"),
                ));
            }
            let port = match fields.get("Port") {
                None => default_port,
                Some(port) => port
                    .parse()
                    .map_err(|_| ApiError::sender("ValidationError", format!("Port '{port}' is not valid")))?,
            };
            Ok(TargetId { id: id.to_owned(), port })
        })
        .collect()
}

/// One page of `all`, and the marker of the next. Markers are opaque to callers.
fn page<'a, T>(all: &'a [T], form: &Form) -> Result<(&'a [T], Option<String>), ApiError> {
    let invalid = |what: &str| ApiError::sender("ValidationError", format!("The {what} is not valid"));
    let start = match form.get("Marker") {
        None | Some("") => 0,
        Some(marker) => marker
            .strip_prefix("page-from-")
            .and_then(|start| start.parse().ok())
            .filter(|start| *start <= all.len())
            .ok_or_else(|| invalid("marker"))?,
    };
    let size = match form.get("PageSize") {
        None => PAGE,
        Some(size) => size.parse().ok().filter(|size| (1..=PAGE).contains(size)).ok_or_else(|| invalid("page size"))?,
    };
    let end = all.len().min(start + size);
    let next = (end < all.len()).then(|| format!("page-from-{end}"));
    Ok((&all[start..end], next))
}
