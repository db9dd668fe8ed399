//! The model's worlds as the invariants see them, and what must be so at their end.

use std::collections::BTreeMap;

use pitcrew_core::ids::{CallId, TargetGroupArn};
use pitcrew_core::memory::Memory;
use pitcrew_core::settings::Settings;
use pitcrew_core::time::{Instant, Now, WallTime, millis};
use pitcrew_core::wire::{Action, Observation, Owner, TargetState};

use crate::balancer::Truth;
use crate::deployment::Deployment;
use crate::invariant::Invariant;
use crate::laws::{Caller, Checked, Judged};
use crate::outside::{is_recent, number};
use crate::registration::By;
use crate::world::{EPOCH, World};

impl Judged for World {
    fn t(&self) -> u64 {
        self.t
    }

    fn now(&self) -> Now {
        Now { at: Instant(self.t), wall: WallTime(EPOCH + self.t) }
    }

    fn settings(&self) -> &Settings {
        &self.scene.settings
    }

    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn owner(&self, deployment: usize) -> Owner {
        self.deployments[deployment].owner
    }

    fn replaces(&self) -> bool {
        self.deployments.iter().any(|deployment| deployment.replacing)
    }

    fn seen(&self, group: &TargetGroupArn) -> Option<&Observation> {
        self.seen.get(&number(group))
    }

    fn calls(&self) -> &BTreeMap<CallId, Caller> {
        &self.calls
    }

    fn is_registering(&self) -> bool {
        self.is_coming(|action| matches!(action, Action::Register { .. }))
    }

    fn is_in_standby(&self) -> bool {
        self.spot.standby
    }

    fn check_drained(&self) -> Checked {
        let settings = &self.scene.settings;
        for (n, group) in self.groups.iter().enumerate() {
            if is_recent(group, self.t) {
                continue;
            }
            let drained = match group.truth(self.t) {
                Truth::Absent => true,
                Truth::Registered { .. } => false,
                Truth::Draining { .. } => {
                    let settled = self.t >= group.since.0 + millis(settings.settle + settings.quiet_period);
                    settled && group.open_until.0 <= self.t
                }
            };
            self.hold(Invariant::DrainedBeforeDone, drained, || format!("g{n} is {group:?}"))?;
        }
        Ok(())
    }
}

impl World {
    /// Nobody waits too long, what was promised stands, and something is scheduled.
    pub(crate) fn check_waiting(&self) -> Checked {
        self.check_calls()?;
        let wakes = self.mind.as_ref().is_none_or(|mind| mind.wake_at().is_some());
        let lives = wakes || self.is_under_way();
        self.hold(Invariant::Lives, lives, || "nothing is scheduled and nothing under way".into())
    }

    /// What must be so when all is over.
    pub(crate) fn check_end(&self) -> Checked {
        let memory = &self.memory;
        let over = self.deployments.iter().all(|deployment| !Deployment::is_open(deployment));
        self.hold(Invariant::NothingStranded, over, || "a deployment never ended".into())?;
        self.hold(Invariant::NothingStranded, memory.leases.is_empty(), || format!("open: {:?}", memory.leases))?;
        let left = memory.leaving.as_ref().is_none_or(|leaving| leaving.stage == pitcrew_core::leaving::Stage::Done);
        self.hold(Invariant::NothingStranded, left, || format!("leaves for ever: {:?}", memory.leaving))?;
        let stays_out = memory.leaving.is_some() || memory.hold.is_some();
        // Where nothing mends the application, it belongs nowhere.
        let may_wait = stays_out || !self.app_is_up();
        self.check_protections(stays_out)?;
        let given_back = may_wait || memory.taken_out.is_empty();
        self.hold(Invariant::NothingStranded, given_back, || format!("not given back: {:?}", memory.taken_out))?;
        for (n, group) in self.groups.iter().enumerate() {
            let shown = group.observe(self.t, self.app_is_up());
            let right = match (stays_out, group.is_registered()) {
                (true, registered) => !registered,
                (false, true) => may_wait || shown.own.values().all(|state| *state == TargetState::Healthy),
                (false, false) => may_wait || group.by == By::Others,
            };
            self.hold(Invariant::NothingStranded, right, || format!("g{n}: {group:?}"))?;
        }
        Ok(())
    }
}
