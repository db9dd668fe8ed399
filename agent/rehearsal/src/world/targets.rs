//! One target group: which targets are registered, in what state, and what the data plane knows of it.
//!
//! Pure: time and lags come in as arguments. Facts behind it: a target becomes healthy after one passed check, a
//! deregistered one is shown `draining` for the whole delay even when idle, and the data plane hears of a
//! deregistration later than the caller.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::balancer::routing::{CheckFailure, CheckPlan, CheckResult, Route, Stance};

/// A target group and its targets.
#[derive(Debug, Clone)]
pub struct TargetGroup {
    /// What does not change while the world is up.
    pub settings: GroupSettings,
    targets: BTreeMap<TargetId, Target>,
}

/// What a target group is configured with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSettings {
    /// The group's name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// The port of a target registered without one.
    pub port: u16,
    /// The load balancer whose listener forwards to it; without one no target is in use.
    pub load_balancer: Option<String>,
    /// `deregistration_delay.timeout_seconds`.
    pub deregistration_delay: Duration,
    /// How targets are checked.
    pub check: CheckPlan,
    /// Checks in a row until an unhealthy target is healthy.
    pub healthy_threshold: u8,
    /// Failed checks in a row until a target is unhealthy.
    pub unhealthy_threshold: u8,
}

/// A registration's identity: the same instance may be registered with several ports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TargetId {
    /// Instance id.
    pub id: String,
    /// The port that traffic goes to.
    pub port: u16,
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.id, self.port)
    }
}

#[derive(Debug, Clone)]
struct Target {
    address: IpAddr,
    standing: Standing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// The registration is on its way to the data plane, and counts for checks from `known_at`. A target that was
    /// draining when it was registered again still may finish what it carries.
    Registering {
        known_at: Instant,
        drains_until: Option<Instant>,
    },
    /// Checked, and not yet passed; `failed` checks in a row.
    Initial {
        failed: u8,
    },
    Healthy {
        failed: u8,
    },
    Unhealthy {
        passed: u8,
        why: CheckFailure,
    },
    /// Deregistered. The data plane goes on as before until `heard_at`.
    Draining {
        heard_at: Instant,
        until: Instant,
        carried: bool,
    },
    /// Its instance was stopped or terminated. The data plane goes on as before until `heard_at`.
    InvalidState {
        heard_at: Instant,
        carried: bool,
    },
}

impl Standing {
    /// Whether checks say that the target is healthy; `None` while they have said nothing yet.
    fn turn(&self) -> Option<bool> {
        match self {
            Self::Registering { .. } | Self::Initial { .. } | Self::Draining { .. } | Self::InvalidState { .. } => None,
            Self::Healthy { .. } => Some(true),
            Self::Unhealthy { .. } => Some(false),
        }
    }
}

/// What `DescribeTargetHealth` says of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetHealth {
    /// `initial`, `healthy`, `unhealthy`, `unused`, `draining`.
    pub state: &'static str,
    /// Reason code, absent when healthy.
    pub reason: Option<&'static str>,
    /// A sentence, absent when healthy.
    pub description: Option<String>,
}

impl TargetHealth {
    fn new(state: &'static str, reason: &'static str, description: impl Into<String>) -> Self {
        Self { state, reason: Some(reason), description: Some(description.into()) }
    }

    /// Whether the target is in service.
    pub fn is_healthy(&self) -> bool {
        self.state == "healthy"
    }
}

impl TargetGroup {
    /// A group without targets.
    pub fn new(settings: GroupSettings) -> Self {
        Self { settings, targets: BTreeMap::new() }
    }

    /// Registers a target that has been in service for long: healthy from the start.
    pub fn place_healthy(&mut self, target: TargetId, address: IpAddr) {
        let standing = Standing::Healthy { failed: 0 };
        self.targets.insert(target, Target { address, standing });
    }

    /// Takes a target out as if it had never been there.
    pub fn remove(&mut self, target: &TargetId) {
        self.targets.remove(target);
    }

    /// Registers a target; the data plane hears of it after `lag`. One that is registered already stays as it is;
    /// one that is draining starts anew. Returns whether anything changed.
    pub fn register(&mut self, now: Instant, target: TargetId, address: IpAddr, lag: Duration) -> bool {
        self.settle(now);
        let drains_until = match self.targets.get(&target).map(|known| &known.standing) {
            Some(
                Standing::Registering { .. }
                | Standing::Initial { .. }
                | Standing::Healthy { .. }
                | Standing::Unhealthy { .. }
                | Standing::InvalidState { .. },
            ) => return false,
            Some(Standing::Draining { until, .. }) => Some(*until),
            None => None,
        };
        let standing = Standing::Registering { known_at: now + lag, drains_until };
        self.targets.insert(target, Target { address, standing });
        true
    }

    /// Deregisters a target; new requests still reach it until `lag` has passed. One that is not registered is no error.
    /// Returns whether anything changed.
    pub fn deregister(&mut self, now: Instant, id: &TargetId, lag: Duration) -> bool {
        self.settle(now);
        let open = self.fails_open();
        let until = now + self.settings.deregistration_delay;
        let Some(target) = self.targets.get_mut(id) else {
            return false;
        };
        let carried = match target.standing {
            Standing::Healthy { .. } => true,
            Standing::Initial { .. } | Standing::Unhealthy { .. } => open,
            Standing::Registering { .. } => false,
            Standing::Draining { .. } => return false,
            // Of an instance that is gone nothing drains.
            Standing::InvalidState { .. } => {
                self.targets.remove(id);
                return true;
            }
        };
        target.standing = Standing::Draining { heard_at: now + lag, until, carried };
        true
    }

    /// The instance was stopped or terminated: its registrations stay and are good for nothing, which the data plane
    /// hears after `lag`. What drains is over.
    pub fn instance_gone(&mut self, now: Instant, instance: &str, lag: Duration) {
        self.settle(now);
        let open = self.fails_open();
        self.targets.retain(|id, target| id.id != instance || !matches!(target.standing, Standing::Draining { .. }));
        for (_, target) in self.targets.iter_mut().filter(|(id, _)| id.id == instance) {
            let carried = match target.standing {
                Standing::Healthy { .. } => true,
                Standing::Initial { .. } | Standing::Unhealthy { .. } => open,
                Standing::Registering { .. } | Standing::Draining { .. } | Standing::InvalidState { .. } => false,
            };
            target.standing = Standing::InvalidState { heard_at: now + lag, carried };
        }
    }

    /// Takes the result of a health check of every target at this endpoint; returns those whose health turned.
    pub fn checked(
        &mut self,
        now: Instant,
        endpoint: SocketAddr,
        result: &CheckResult,
    ) -> Vec<(TargetId, TargetHealth)> {
        self.settle(now);
        let mut turned = Vec::new();
        let (healthy_after, unhealthy_after) = (self.settings.healthy_threshold, self.settings.unhealthy_threshold);
        for (id, target) in &mut self.targets {
            if SocketAddr::new(target.address, id.port) == endpoint {
                let next = match result {
                    CheckResult::Passed => passed(&target.standing, healthy_after),
                    CheckResult::Failed(why) => failed(&target.standing, why.clone(), unhealthy_after),
                };
                let (was, is) = (target.standing.turn(), next.turn());
                target.standing = next;
                if was != is {
                    turned.push(id.clone());
                }
            }
        }
        let health = |id: TargetId| {
            let health = self.health(now, &id);
            (id, health)
        };
        turned.into_iter().map(health).collect()
    }

    /// What the data plane knows now.
    pub fn routes(&mut self, now: Instant) -> Vec<Route> {
        self.settle(now);
        if self.settings.load_balancer.is_none() {
            return Vec::new();
        }
        let open = self.fails_open();
        self.targets
            .iter()
            .filter_map(|(id, target)| {
                let stance = match target.standing {
                    Standing::Registering { drains_until, .. } => Stance::Draining { until: drains_until? },
                    Standing::Healthy { .. } => Stance::Serving,
                    Standing::Initial { .. } | Standing::Unhealthy { .. } if open => Stance::Serving,
                    Standing::Initial { .. } | Standing::Unhealthy { .. } => Stance::Checked,
                    Standing::Draining { heard_at, carried: true, .. } if now < heard_at => Stance::Serving,
                    Standing::Draining { until, .. } => Stance::Draining { until },
                    Standing::InvalidState { heard_at, carried: true } if now < heard_at => Stance::Serving,
                    Standing::InvalidState { .. } => return None,
                };
                Some(Route { endpoint: SocketAddr::new(target.address, id.port), stance })
            })
            .collect()
    }

    /// Health of one target, registered or not.
    pub fn health(&mut self, now: Instant, target: &TargetId) -> TargetHealth {
        self.settle(now);
        let Some(target) = self.targets.get(target) else {
            return TargetHealth::new("unused", "Target.NotRegistered", "Target is not registered to the target group");
        };
        if self.settings.load_balancer.is_none() {
            return TargetHealth::new(
                "unused",
                "Target.NotInUse",
                "Target group is not configured to receive traffic from the load balancer",
            );
        }
        match &target.standing {
            Standing::Registering { .. } => {
                TargetHealth::new("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
            }
            Standing::Initial { .. } => {
                TargetHealth::new("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
            }
            Standing::Healthy { .. } => TargetHealth { state: "healthy", reason: None, description: None },
            Standing::Unhealthy { why, .. } => unhealthy(why),
            Standing::Draining { .. } => {
                TargetHealth::new("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
            }
            Standing::InvalidState { .. } => {
                TargetHealth::new("unused", "Target.InvalidState", "Target is in the stopped or terminated state")
            }
        }
    }

    /// Every registered or draining target with its health.
    pub(crate) fn all_health(&mut self, now: Instant) -> Vec<(TargetId, TargetHealth)> {
        self.settle(now);
        let ids: Vec<_> = self.targets.keys().cloned().collect();
        ids.into_iter()
            .map(|id| {
                let health = self.health(now, &id);
                (id, health)
            })
            .collect()
    }

    /// How many targets other than those of `instance` are healthy.
    pub fn healthy_beside(&mut self, now: Instant, instance: &str) -> usize {
        self.all_health(now).iter().filter(|(id, health)| id.id != instance && health.is_healthy()).count()
    }

    /// How many targets of other instances are registered, whatever their health.
    pub fn registered_beside(&mut self, now: Instant, instance: &str) -> usize {
        self.all_health(now)
            .iter()
            .filter(|(id, health)| {
                id.id != instance && health.state != "draining" && health.reason != Some("Target.InvalidState")
            })
            .count()
    }

    /// Moves what time alone moves.
    fn settle(&mut self, now: Instant) {
        self.targets.retain(|_, target| match target.standing {
            Standing::Draining { until, .. } => now < until,
            Standing::Registering { .. }
            | Standing::Initial { .. }
            | Standing::Healthy { .. }
            | Standing::Unhealthy { .. }
            | Standing::InvalidState { .. } => true,
        });
        for target in self.targets.values_mut() {
            if let Standing::Registering { known_at, .. } = target.standing
                && now >= known_at
            {
                target.standing = Standing::Initial { failed: 0 };
            }
        }
    }

    /// When no target is healthy and one is known to be unhealthy, requests go to all that are registered.
    fn fails_open(&self) -> bool {
        let standings = || self.targets.values().map(|target| &target.standing);
        standings().any(|standing| matches!(standing, Standing::Unhealthy { .. }))
            && !standings().any(|standing| matches!(standing, Standing::Healthy { .. }))
    }
}

fn passed(standing: &Standing, healthy_after: u8) -> Standing {
    match standing {
        Standing::Initial { .. } | Standing::Healthy { .. } => Standing::Healthy { failed: 0 },
        Standing::Unhealthy { passed, .. } if passed + 1 >= healthy_after => Standing::Healthy { failed: 0 },
        Standing::Unhealthy { passed, why } => Standing::Unhealthy { passed: passed + 1, why: why.clone() },
        Standing::Registering { .. } | Standing::Draining { .. } | Standing::InvalidState { .. } => standing.clone(),
    }
}

fn failed(standing: &Standing, why: CheckFailure, unhealthy_after: u8) -> Standing {
    match standing {
        Standing::Initial { failed } | Standing::Healthy { failed } if failed + 1 >= unhealthy_after => {
            Standing::Unhealthy { passed: 0, why }
        }
        Standing::Initial { failed } => Standing::Initial { failed: failed + 1 },
        Standing::Healthy { failed } => Standing::Healthy { failed: failed + 1 },
        Standing::Unhealthy { .. } => Standing::Unhealthy { passed: 0, why },
        Standing::Registering { .. } | Standing::Draining { .. } | Standing::InvalidState { .. } => standing.clone(),
    }
}

/// Why a target is unhealthy, in the API's reason codes.
fn unhealthy(why: &CheckFailure) -> TargetHealth {
    match why {
        CheckFailure::Status(status) => TargetHealth::new(
            "unhealthy",
            "Target.ResponseCodeMismatch",
            format!("Health checks failed with these codes: [{status}]"),
        ),
        CheckFailure::Silent => TargetHealth::new("unhealthy", "Target.Timeout", "Request timed out"),
        CheckFailure::Connection(_) => {
            TargetHealth::new("unhealthy", "Target.FailedHealthChecks", "Health checks failed")
        }
    }
}
