//! A deployment as CodeDeploy's host agent runs it: hooks in order, and nothing after a failure.

use std::time::Duration;

use pitcrew_core::ids::{CallId, DeploymentGroup};
use pitcrew_core::lifecycle::LifecycleEvent as E;
use pitcrew_core::revision::Revision;
use pitcrew_core::time::Instant;
use pitcrew_core::wire::{Event, HookCall, Owner, Verdict};

use crate::laws::{Caller, Checked};
use crate::registration::By;
use crate::world::{Happening, TICK, World};

/// Between the answer to one hook and the call of the next.
const GAP: u64 = 2 * TICK;
/// How long a hook waits.
const PATIENCE: u64 = 40_000;
/// From ApplicationStart to an application that answers.
const START: u64 = 4 * TICK;

#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    pub(crate) owner: Owner,
    stage: Stage,
    /// Told that it may stop and replace the application, and has not asked for its return.
    pub(crate) replacing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Planned,
    /// Between two hooks; the next is this.
    Working(usize),
    /// This hook waits, until then.
    Calling(usize, Instant),
    Over,
}

impl Deployment {
    pub(crate) fn new(owner: Owner) -> Self {
        Self { owner, stage: Stage::Planned, replacing: false }
    }

    fn events(&self) -> impl Iterator<Item = E> {
        let owner = self.owner;
        E::ALL.into_iter().filter(move |event| owner == Owner::CodeDeploy || !event.needs_traffic_control())
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.stage != Stage::Planned
    }

    pub(crate) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    pub(crate) fn is_open(&self) -> bool {
        match self.stage {
            Stage::Working(_) | Stage::Calling(..) => true,
            Stage::Planned | Stage::Over => false,
        }
    }

    pub(crate) fn calling(&self) -> Option<(E, Instant)> {
        match self.stage {
            Stage::Calling(at, until) => self.events().nth(at).map(|event| (event, until)),
            Stage::Planned | Stage::Working(_) | Stage::Over => None,
        }
    }

    pub(crate) fn over(&mut self) {
        (self.stage, self.replacing) = (Stage::Over, false);
    }
}

impl World {
    /// The next hook begins, unless the deployment is over.
    pub(crate) fn next_hook(&mut self, n: usize) -> Checked {
        let t = self.t;
        let at = match self.deployments[n].stage {
            Stage::Planned => 0,
            Stage::Working(at) => at,
            Stage::Calling(..) | Stage::Over => return Ok(()),
        };
        self.deployments[n].stage = Stage::Calling(at, Instant(t + PATIENCE));
        let event = self.deployments[n].events().nth(at);
        if event == Some(E::AfterBlockTraffic) || event == Some(E::AfterAllowTraffic) {
            // CodeDeploy moves the first group itself, right before.
            self.change(0, event == Some(E::AfterAllowTraffic), By::Others);
        }
        self.call_hook(n, 0)
    }

    /// The hook's client connects: at first, again after a restart of the agent, or a second time.
    pub(crate) fn call_hook(&mut self, n: usize, again: u64) -> Checked {
        let Some((event, until)) = self.deployments[n].calling() else { return Ok(()) };
        if self.mind.is_none() || until.0 <= self.t {
            return Ok(());
        }
        let call = CallId(1 + 2 * n as u64 + again);
        if self.calls.contains_key(&call) {
            return Ok(());
        }
        self.calls.insert(call, Caller { until, hook: Some((n, event)), promised: None });
        if event == E::ValidateService {
            self.deployments[n].replacing = false;
        }
        let hook = HookCall {
            event,
            deployment: format!("d-{n}").as_str().into(),
            group: DeploymentGroup { application: "web".into(), name: n.to_string() },
            revision: Revision::default(),
            patience: Duration::from_millis(until.0 - self.t),
        };
        self.step(Event::HookArrived { call, hook })
    }

    pub(crate) fn hook_answered(&mut self, n: usize, event: E, verdict: Verdict) {
        let Stage::Calling(at, _) = self.deployments[n].stage else { return };
        if self.deployments[n].calling().is_none_or(|(calling, _)| calling != event) {
            return;
        }
        let t = self.t;
        if verdict != Verdict::Done {
            return self.deployment_fails(n);
        }
        match event {
            E::ApplicationStop | E::BeforeInstall => {
                let known = self.memory.leases.contains_key(&format!("d-{n}").as_str().into());
                self.deployments[n].replacing = known || self.memory.leaving.is_none();
                self.app.stopped = true;
                self.app.told = 0;
            }
            E::ApplicationStart => self.at(t + START, Happening::ApplicationUp),
            E::BeforeBlockTraffic
            | E::AfterBlockTraffic
            | E::AfterInstall
            | E::ValidateService
            | E::BeforeAllowTraffic
            | E::AfterAllowTraffic => {}
        }
        if at + 1 == self.deployments[n].events().count() {
            return self.deployments[n].over();
        }
        self.deployments[n].stage = Stage::Working(at + 1);
        self.at(t + GAP, Happening::NextHook(n));
    }

    /// Nobody runs the rest of it; whoever mends the fleet starts the application again.
    pub(crate) fn deployment_fails(&mut self, n: usize) {
        self.deployments[n].over();
        if self.app.stopped {
            self.at(self.t + 2 * START, Happening::ApplicationUp);
        }
    }
}
