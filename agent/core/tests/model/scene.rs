//! What is explored: who deploys, under which settings, against which balancer.

use std::time::Duration;

use pitcrew_core::elastigroup::{self, Process, ReadyAfter};
use pitcrew_core::settings::{OnNotice, Settings, Thresholds};
use pitcrew_core::wire::Owner;

/// A small world. Its times are short and whole ticks, so that few moments matter.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    /// Who moves traffic for each deployment's group.
    pub(crate) owners: Vec<Owner>,
    pub(crate) settings: Settings,
    pub(crate) groups: usize,
    /// Other targets in each group.
    pub(crate) peers: usize,
}

fn settings() -> Settings {
    let secs = Duration::from_secs;
    Settings {
        owner: None,
        settle: secs(1),
        quiet_period: Duration::from_millis(250),
        return_within: secs(20),
        ask_after: secs(10),
        assume_dead_after: secs(60),
        leave_budget: secs(20),
        remove_tags: true,
        probes: [("app".into(), Thresholds::default())].into(),
        ..Settings::default()
    }
}

impl Scene {
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Self::of_one_deployment();
        all.extend(Self::of_elastigroup());
        all.extend([Self::both_owners(), Self::two_deployments()]);
        all
    }

    pub(crate) fn of_one_deployment() -> Vec<Self> {
        vec![
            Self::one_deployment(),
            Self::of_codedeploy(),
            Self::refusing(),
            Self::finishing(),
            Self::last_healthy(),
            Self::two_groups(),
        ]
    }

    pub(crate) fn of_elastigroup() -> Vec<Self> {
        vec![Self::protected(), Self::by_standby()]
    }

    pub(crate) fn one_deployment() -> Self {
        Self { name: "one deployment", owners: vec![Owner::Pitcrew], settings: settings(), groups: 1, peers: 0 }
    }

    pub(crate) fn two_deployments() -> Self {
        let owners = vec![Owner::Pitcrew; 2];
        Self { name: "two deployments", owners, ..Self::one_deployment() }
    }

    /// CodeDeploy moves traffic itself.
    pub(crate) fn of_codedeploy() -> Self {
        Self {
            name: "one that CodeDeploy moves traffic for",
            owners: vec![Owner::CodeDeploy],
            ..Self::one_deployment()
        }
    }

    pub(crate) fn both_owners() -> Self {
        let owners = vec![Owner::Pitcrew, Owner::CodeDeploy];
        Self { name: "both owners", owners, ..Self::one_deployment() }
    }

    /// Hooks of a leaving instance are refused, and it may stay after all.
    pub(crate) fn refusing() -> Self {
        let settings = Settings { on_notice: OnNotice::Refuse, return_when_withdrawn: true, ..settings() };
        Self { name: "refusing, notices withdrawn", settings, ..Self::one_deployment() }
    }

    /// The same, but what a deployment has begun is finished.
    pub(crate) fn finishing() -> Self {
        let settings = Settings { on_notice: OnNotice::Finish, ..Self::refusing().settings };
        Self { name: "finishing, notices withdrawn", settings, ..Self::one_deployment() }
    }

    /// A group with another target, which may be ill.
    pub(crate) fn last_healthy() -> Self {
        Self { name: "the last healthy target", peers: 1, ..Self::one_deployment() }
    }

    /// Elastigroup is told of the deployment.
    pub(crate) fn protected() -> Self {
        let told = elastigroup::Settings { suspend: [Process::AutoHealing].into(), ready: ReadyAfter::Deployment };
        let settings = Settings { elastigroup: Some(told), ..settings() };
        Self { name: "protected from Elastigroup", settings, ..Self::one_deployment() }
    }

    /// Traffic is moved by Elastigroup's standby.
    pub(crate) fn by_standby() -> Self {
        let settings = Settings { owner: Some(Owner::Elastigroup), ..Self::protected().settings };
        Self { name: "moved by standby", owners: vec![Owner::Elastigroup], settings, ..Self::one_deployment() }
    }

    pub(crate) fn two_groups() -> Self {
        Self { name: "two target groups", groups: 2, ..Self::one_deployment() }
    }
}
