//! A deployment as CodeDeploy's host agent runs it on one instance: hooks in order, and nothing after a failure.

use std::time::Duration;

use pitcrew_core::ids::{CallId, DeploymentGroup};
use pitcrew_core::lifecycle::LifecycleEvent as E;
use pitcrew_core::revision::Revision;
use pitcrew_core::time::Instant;
use pitcrew_core::wire::{DeploymentState, Event, HookCall, Owner, Verdict};

use crate::laws::{Caller, Checked};
use crate::scenario::{CALM, DeploymentPlan, End};
use crate::world::{Happening, World};

/// CodeDeploy itself learns so late that a deployment is over.
const CODEDEPLOY_LEARNS: u64 = 10_000;

#[derive(Debug)]
pub(crate) struct Deployment {
    pub(crate) plan: DeploymentPlan,
    pub(crate) owner: Owner,
    /// A rollback goes to the group of what it rolls back.
    pub(crate) group: usize,
    pub(crate) events: Vec<E>,
    next: usize,
    calling: bool,
    /// When the hook that waits gives up.
    pub(crate) deadline: u64,
    /// Told that it may stop and replace the application, and has not asked for its return.
    pub(crate) replacing: bool,
    over: Option<(u64, bool)>,
}

impl Deployment {
    pub(crate) fn new(plan: &DeploymentPlan, owner: Owner, group: usize) -> Self {
        let events = E::ALL.into_iter().filter(|event| match event {
            E::ApplicationStop => !plan.first,
            E::BeforeBlockTraffic | E::AfterBlockTraffic => owner == Owner::CodeDeploy && !plan.first,
            E::BeforeAllowTraffic | E::AfterAllowTraffic => owner == Owner::CodeDeploy,
            E::BeforeInstall | E::AfterInstall | E::ApplicationStart | E::ValidateService => true,
        });
        Self {
            plan: plan.clone(),
            owner,
            group,
            events: events.collect(),
            next: 0,
            calling: false,
            deadline: 0,
            replacing: false,
            over: None,
        }
    }

    /// The next event's hook begins; `None`: the deployment is over.
    pub(crate) fn begin_next(&mut self) -> Option<(usize, E)> {
        if self.over.is_some() {
            return None;
        }
        self.calling = true;
        Some((self.next, self.events[self.next]))
    }

    /// The hook that waits was answered; `None`: nobody waited any more.
    pub(crate) fn answered(&mut self) -> Option<E> {
        if !std::mem::take(&mut self.calling) || self.over.is_some() {
            return None;
        }
        self.next += 1;
        Some(self.events[self.next - 1])
    }

    /// The deployment ended at `t`; returns the rollback, where CodeDeploy makes one.
    pub(crate) fn over(&mut self, t: u64, well: bool) -> Option<Deployment> {
        if self.over.is_some() {
            return None;
        }
        self.over = Some((t, well));
        (self.calling, self.replacing) = (false, false);
        let plan = DeploymentPlan { first: false, end: End::Well, rolls_back: false, ..self.plan.clone() };
        (!well && self.plan.rolls_back).then(|| Deployment::new(&plan, self.owner, self.group))
    }

    pub(crate) fn calling(&self) -> Option<usize> {
        self.calling.then_some(self.next)
    }

    pub(crate) fn is_calling(&self, at: usize) -> bool {
        self.calling() == Some(at)
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.next == self.events.len()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.over.is_none() && (self.next > 0 || self.calling)
    }

    /// Nothing more is heard after the event that was just answered.
    pub(crate) fn is_silent_now(&self) -> bool {
        match self.plan.end {
            End::Silent { at } => at % self.events.len() + 1 == self.next,
            End::Well | End::Stopped { .. } => false,
        }
    }

    /// When the hook's process of this event is stopped, after its begin.
    pub(crate) fn stopped_after(&self, event: usize) -> Option<u64> {
        match self.plan.end {
            End::Stopped { at, after } => (at % self.events.len() == event).then_some(after),
            End::Well | End::Silent { .. } => None,
        }
    }

    /// What CodeDeploy says at `t`.
    pub(crate) fn state(&self, t: u64) -> DeploymentState {
        match self.over {
            Some((at, true)) if at + CODEDEPLOY_LEARNS <= t => DeploymentState::Succeeded,
            Some((at, false)) if at + CODEDEPLOY_LEARNS <= t => DeploymentState::Failed,
            Some(_) | None => DeploymentState::Running,
        }
    }
}

impl World<'_> {
    pub(crate) fn next_hook(&mut self, n: usize) -> Checked {
        let Some((at, event)) = self.deployments[n].begin_next() else { return Ok(()) };
        match event {
            E::AfterBlockTraffic => self.change_by_others(0, false),
            E::AfterAllowTraffic => self.change_by_others(0, true),
            E::BeforeBlockTraffic
            | E::ApplicationStop
            | E::BeforeInstall
            | E::AfterInstall
            | E::ApplicationStart
            | E::ValidateService
            | E::BeforeAllowTraffic => {}
        }
        let deadline = self.t + self.deployments[n].plan.patience;
        self.deployments[n].deadline = deadline;
        self.at(deadline + 1, Happening::GiveUp { deployment: n, at });
        if let Some(after) = self.deployments[n].stopped_after(at) {
            self.at(self.t + after, Happening::Stop { deployment: n, at });
        }
        self.call_hook(n, at)
    }

    /// The hook's client connects, again after a restart of the agent.
    pub(crate) fn call_hook(&mut self, n: usize, at: usize) -> Checked {
        let (deadline, event) = (self.deployments[n].deadline, self.deployments[n].events[at]);
        if !self.is_up() || deadline <= self.t {
            return Ok(());
        }
        self.serial += 1;
        let call = CallId(self.serial);
        self.calls.insert(call, Caller { until: Instant(deadline), hook: Some((n, event)), promised: None });
        if event == E::ValidateService {
            self.deployments[n].replacing = false;
        }
        let hook = HookCall {
            event,
            deployment: format!("d-{n}").as_str().into(),
            group: DeploymentGroup { application: "web".into(), name: self.deployments[n].group.to_string() },
            revision: Revision::default(),
            patience: Duration::from_millis(deadline - self.t),
        };
        self.step(Event::HookArrived { call, hook })
    }

    pub(crate) fn hook_answered(&mut self, n: usize, verdict: Verdict) {
        let Some(event) = self.deployments[n].answered() else { return };
        self.note(|| format!("d-{n}: {event} {verdict:?}"));
        if verdict != Verdict::Done {
            return self.deployment_over(n, false);
        }
        match event {
            E::ApplicationStop | E::BeforeInstall => {
                let known = self.memory.leases.contains_key(&format!("d-{n}").as_str().into());
                self.deployments[n].replacing = known || self.memory.leaving.is_none();
                self.stopped = true;
                self.look_at_application();
            }
            E::ApplicationStart => {
                let takes = 500 + self.random(8_000);
                self.at(self.t + takes, Happening::ApplicationUp);
            }
            E::BeforeBlockTraffic
            | E::AfterBlockTraffic
            | E::AfterInstall
            | E::ValidateService
            | E::BeforeAllowTraffic
            | E::AfterAllowTraffic => {}
        }
        if self.deployments[n].is_complete() {
            self.deployment_over(n, true);
        } else if self.deployments[n].is_silent_now() {
            self.deployment_over(n, false);
        } else {
            self.at(self.t + self.deployments[n].plan.gap, Happening::NextHook { deployment: n });
        }
    }

    pub(crate) fn deployment_over(&mut self, n: usize, well: bool) {
        let t = self.t;
        self.note(|| format!("d-{n} is over, well: {well}"));
        if let Some(rollback) = self.deployments[n].over(t, well) {
            let deployment = self.deployments.len();
            self.deployments.push(rollback);
            self.at(t + 5_000, Happening::NextHook { deployment });
        }
        if t >= CALM && !self.deployments.iter().any(Deployment::has_begun) {
            self.stopped = false;
            self.look_at_application();
        }
    }
}
