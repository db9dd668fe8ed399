//! What to rehearse.

use std::time::Duration;

use crate::balancer::IdleOnDrain;
use crate::bundle::Bundle;
use crate::lifecycle::LifecycleEvent;
use crate::world::Plan;
use crate::world::faults::Fault;

/// A rehearsal's scenario.
#[derive(Debug, Clone)]
pub struct Options {
    /// Everything random follows from it.
    pub seed: u64,
    /// The revision to deploy.
    pub bundle: Bundle,
    /// Which revisions call `pitcrew hook`.
    pub hooks: Hooks,
    /// Whether agents run on the instances that are deployed to.
    pub agents: bool,
    /// Instances that are deployed to, one by one; one more only carries traffic.
    pub instances: u8,
    /// Whether it is the first deployment there: no revision was installed before.
    pub first: bool,
    /// Requests per second, on average.
    pub rate: u32,
    /// The load goes on until it has sent at least this many requests.
    pub requests: u64,
    /// One request in twenty takes up to this long.
    pub slow_requests: Option<Duration>,
    /// Whether the balancer's connections to targets carry more than one request.
    pub keep_alive: bool,
    /// When the balancer closes idle connections to a draining target.
    pub idle_on_drain: IdleOnDrain,
    /// `deregistration_delay.timeout_seconds`
    pub deregistration_delay: Duration,
    /// How long the application takes before it listens.
    pub warm_up: Duration,
    /// The event in which the new revision's scripts fail, on the first instance.
    pub fail_at: Option<LifecycleEvent>,
    /// The event during which each agent is killed once.
    pub kill_agent_at: Option<LifecycleEvent>,
    /// How AWS endpoints misbehave.
    pub fault: Option<Fault>,
    /// Whether a second deployment group deploys to the first instance at the same time.
    pub overlap: bool,
}

/// Which revisions call `pitcrew hook`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hooks {
    /// Both.
    Both,
    /// Only the new one: the previous revision was deployed before Pitcrew was there.
    NewOnly,
    /// None: the control, which loses requests.
    None,
}

impl Options {
    /// The default rehearsal of a bundle.
    pub fn of(bundle: Bundle) -> Self {
        Self {
            seed: 1,
            bundle,
            hooks: Hooks::Both,
            agents: true,
            instances: 1,
            first: false,
            rate: 500,
            requests: 10_000,
            slow_requests: None,
            keep_alive: true,
            idle_on_drain: IdleOnDrain::Closed,
            deregistration_delay: Duration::from_secs(300),
            warm_up: Duration::from_secs(2),
            fail_at: None,
            kill_agent_at: None,
            fault: None,
            overlap: false,
        }
    }

    /// The revision that is installed when the rehearsal begins.
    pub(crate) fn previous(&self) -> Bundle {
        let bundle = self.bundle.clone().named("v1");
        let bundle = match self.hooks {
            Hooks::Both => bundle,
            Hooks::NewOnly | Hooks::None => bundle.without_shims(),
        };
        match self.fail_at.filter(|event| event.runs_previous_revision()) {
            Some(event) => bundle.failing_at(event),
            None => bundle,
        }
    }

    /// The revision that is deployed.
    pub(crate) fn revision(&self) -> Bundle {
        let bundle = self.bundle.clone();
        let bundle = match self.hooks {
            Hooks::Both | Hooks::NewOnly => bundle,
            Hooks::None => bundle.without_shims(),
        };
        match self.fail_at.filter(|event| !event.runs_previous_revision()) {
            Some(event) => bundle.failing_at(event),
            None => bundle,
        }
    }

    /// The world that this scenario plays in.
    pub(super) fn plan(&self, district: u8) -> Plan {
        Plan {
            seed: self.seed,
            district,
            instances: self.instances,
            deregistration_delay: self.deregistration_delay,
            fault: self.fault,
        }
    }
}
