//! A deployment as CodeDeploy's host agent runs it on one instance: hooks in order, and nothing after a failure.

use pitcrew_core::lifecycle::LifecycleEvent as E;
use pitcrew_core::wire::{DeploymentState, Owner};

use crate::scenario::{DeploymentPlan, End};

/// CodeDeploy itself learns so late that a deployment is over.
const CODEDEPLOY_LEARNS: u64 = 10_000;

#[derive(Debug)]
pub struct Deployment {
    pub plan: DeploymentPlan,
    pub owner: Owner,
    pub events: Vec<E>,
    next: usize,
    calling: bool,
    /// When the hook that waits gives up.
    pub deadline: u64,
    /// Told that it may stop and replace the application, and has not asked for its return.
    pub replacing: bool,
    over: Option<(u64, bool)>,
}

impl Deployment {
    pub fn new(plan: &DeploymentPlan, owner: Owner) -> Self {
        let events = E::ALL.into_iter().filter(|event| match event {
            E::ApplicationStop => !plan.first,
            E::BeforeBlockTraffic | E::AfterBlockTraffic => owner == Owner::CodeDeploy && !plan.first,
            E::BeforeAllowTraffic | E::AfterAllowTraffic => owner == Owner::CodeDeploy,
            E::BeforeInstall | E::AfterInstall | E::ApplicationStart | E::ValidateService => true,
        });
        Self {
            plan: plan.clone(),
            owner,
            events: events.collect(),
            next: 0,
            calling: false,
            deadline: 0,
            replacing: false,
            over: None,
        }
    }

    /// The next event's hook begins; `None`: the deployment is over.
    pub fn begin_next(&mut self) -> Option<(usize, E)> {
        if self.over.is_some() {
            return None;
        }
        self.calling = true;
        Some((self.next, self.events[self.next]))
    }

    /// The hook that waits was answered; `None`: nobody waited any more.
    pub fn answered(&mut self) -> Option<E> {
        if !std::mem::take(&mut self.calling) || self.over.is_some() {
            return None;
        }
        self.next += 1;
        Some(self.events[self.next - 1])
    }

    /// The deployment ended at `t`; returns the rollback, where CodeDeploy makes one.
    pub fn over(&mut self, t: u64, well: bool) -> Option<Deployment> {
        if self.over.is_some() {
            return None;
        }
        self.over = Some((t, well));
        (self.calling, self.replacing) = (false, false);
        let plan = DeploymentPlan { first: false, end: End::Well, rolls_back: false, ..self.plan.clone() };
        (!well && self.plan.rolls_back).then(|| Deployment::new(&plan, self.owner))
    }

    pub fn calling(&self) -> Option<usize> {
        self.calling.then_some(self.next)
    }

    pub fn is_calling(&self, at: usize) -> bool {
        self.calling() == Some(at)
    }

    pub fn is_complete(&self) -> bool {
        self.next == self.events.len()
    }

    pub fn is_over(&self) -> bool {
        self.over.is_some()
    }

    pub fn has_begun(&self) -> bool {
        self.over.is_none() && (self.next > 0 || self.calling)
    }

    /// Nothing more is heard after the event that was just answered.
    pub fn is_silent_now(&self) -> bool {
        match self.plan.end {
            End::Silent { at } => at % self.events.len() + 1 == self.next,
            End::Well | End::Stopped { .. } => false,
        }
    }

    /// When the hook's process of this event is stopped, after its begin.
    pub fn stopped_after(&self, event: usize) -> Option<u64> {
        match self.plan.end {
            End::Stopped { at, after } => (at % self.events.len() == event).then_some(after),
            End::Well | End::Silent { .. } => None,
        }
    }

    /// What CodeDeploy says at `t`.
    pub fn state(&self, t: u64) -> DeploymentState {
        match self.over {
            Some((at, true)) if at + CODEDEPLOY_LEARNS <= t => DeploymentState::Succeeded,
            Some((at, false)) if at + CODEDEPLOY_LEARNS <= t => DeploymentState::Failed,
            Some(_) | None => DeploymentState::Running,
        }
    }
}
