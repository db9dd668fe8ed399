//! What to rehearse.

use std::time::Duration;

use crate::balancer::IdleOnDrain;
use crate::bundle::Bundle;
use crate::death::{Cause, Death, Generation};
use crate::interruption::{Interruption, Kill, Moment};
use crate::lifecycle::LifecycleEvent;
use crate::rehearsal::chaos;
use crate::world::Plan;
use crate::world::elastigroup::{GroupPlan, Wish};
use crate::world::faults::{Fault, MetadataFault};

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
    /// What the agents are told beside what fits a rehearsal: a fragment of their configuration, in TOML.
    pub settings: String,
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
    /// When agents are killed.
    pub kill_agent_at: Option<Kill>,
    /// How the first instance is taken away, and when.
    pub interruption: Option<Interruption>,
    /// How the deployment dies on the first instance. Another follows it.
    pub death: Option<Death>,
    /// Whether what follows a deployment that died is its rollback, at once; else it is the next revision, later.
    pub rollback: bool,
    /// Of which generation the instances' host agents are.
    pub host_agent: Generation,
    /// The first instance's clock for people is set forward by this many seconds (negative: back) a few seconds after
    /// the notice.
    pub clock_jump: Option<i64>,
    /// Who moves traffic for the deployment group.
    pub owner: Owner,
    /// How AWS endpoints misbehave.
    pub fault: Option<Fault>,
    /// An action that the instances' roles do not allow, though the shipped policy does.
    pub denied: Option<String>,
    /// How metadata services misbehave: for half a minute around a notice; without one, from the start of the load.
    pub metadata_fault: Option<MetadataFault>,
    /// The Elastigroup of the instances, where they are in one.
    pub elastigroup: Option<Group>,
    /// Whether a second deployment group deploys to the first instance at the same time.
    pub overlap: bool,
    /// Everything that happens, where it was drawn: instead of one deployment and what disturbs it.
    pub chaos: Option<chaos::Plan>,
}

/// An Elastigroup in a rehearsal.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// What it declares, and how it behaves.
    pub plan: GroupPlan,
    /// What it wants, and when.
    pub wish: Option<(Wish, Moment)>,
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

/// Who moves an instance's traffic around a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The agent: the deployment group names no load balancer.
    Pitcrew,
    /// CodeDeploy's service: the group names the target group, and four more events have hooks.
    CodeDeploy,
    /// The agent, by Elastigroup's standby.
    Elastigroup,
}

impl Options {
    /// The default rehearsal of a bundle.
    pub fn of(bundle: Bundle) -> Self {
        Self {
            seed: 1,
            bundle,
            hooks: Hooks::Both,
            agents: true,
            settings: String::new(),
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
            interruption: None,
            death: None,
            rollback: false,
            host_agent: Generation::One,
            clock_jump: None,
            owner: Owner::Pitcrew,
            fault: None,
            denied: None,
            metadata_fault: None,
            elastigroup: None,
            overlap: false,
            chaos: None,
        }
    }

    /// The revision that is installed when the rehearsal begins.
    pub(crate) fn previous(&self) -> Bundle {
        let bundle = self.whole_bundle().named("v1");
        let bundle = match self.hooks {
            Hooks::Both => bundle,
            Hooks::NewOnly | Hooks::None => bundle.without_shims(),
        };
        let bundle = match self.hangs_at().filter(|event| event.runs_previous_revision()) {
            Some(event) => bundle.hanging_at(event),
            None => bundle,
        };
        match self.fail_at.filter(|event| event.runs_previous_revision()) {
            Some(event) => bundle.failing_at(event),
            None => bundle,
        }
    }

    /// The revision that is deployed.
    pub(crate) fn revision(&self) -> Bundle {
        let bundle = self.whole_bundle();
        let bundle = match self.hooks {
            Hooks::Both | Hooks::NewOnly => bundle,
            Hooks::None => bundle.without_shims(),
        };
        let bundle = match self.hangs_at().filter(|event| !event.runs_previous_revision()) {
            Some(event) => bundle.hanging_at(event),
            None => bundle,
        };
        match self.fail_at.filter(|event| !event.runs_previous_revision()) {
            Some(event) => bundle.failing_at(event),
            None => bundle,
        }
    }

    /// The revision that is deployed after the one that died.
    pub(crate) fn next(&self) -> Bundle {
        self.whole_bundle().named(if self.rollback { "v1" } else { "v3" })
    }

    /// The event in which a script outlasts its timeout.
    fn hangs_at(&self) -> Option<LifecycleEvent> {
        self.death.filter(|death| death.of == Cause::Timeout).map(|death| death.at)
    }

    fn whole_bundle(&self) -> Bundle {
        match self.owner {
            Owner::Pitcrew | Owner::Elastigroup => self.bundle.clone(),
            Owner::CodeDeploy => self.bundle.clone().with_traffic_shims(),
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
            elastigroup: self.elastigroup.as_ref().map(|group| GroupPlan {
                moves_traffic: self.owner == Owner::Elastigroup,
                launches: self.first,
                ..group.plan.clone()
            }),
            // Most rehearsals do not wait for as long as an operator would; those of a death are about just that.
            denied: self.denied.clone(),
            ask_after: self.death.is_none().then_some(Duration::from_secs(3)),
        }
    }
}
