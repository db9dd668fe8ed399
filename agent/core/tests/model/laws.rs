//! The design's invariants, checked after every step and before every action.

use pitcrew_core::lifecycle::LifecycleEvent as E;
use pitcrew_core::memory::Memory;
use pitcrew_core::notice::NoticeKind;
use pitcrew_core::time::millis;
use pitcrew_core::wire::{Action, Event, Owner, TargetState, Verdict};

use crate::balancer::{By, Truth};
use crate::deployment::Deployment;
use crate::invariant::Invariant;
use crate::outside::{is_recent, number};
use crate::world::{Caller, Checked, World};

impl World {
    pub(crate) fn check_memory(&self, event: &Event, before: &Memory) -> Checked {
        let memory = &self.memory;
        let may_stay = match event {
            Event::NoticeWithdrawn { .. } => self.scene.settings.return_when_withdrawn,
            Event::Started => {
                let notices = before.leaving.iter().flat_map(|leaving| &leaving.notices);
                notices.into_iter().all(|notice| notice.kind == NoticeKind::Shutdown)
            }
            _ => false,
        };
        let stays = before.leaving.is_none() || memory.leaving.is_some() || may_stay;
        self.hold(Invariant::NoReturnOnceLeaving, stays, || format!("forgot that it leaves over {event:?}"))?;
        if let Event::NoticeSeen { notice } = event {
            let heard = memory.leaving.is_some();
            self.hold(Invariant::NoReturnOnceLeaving, heard, || format!("{notice:?} was not heard"))?;
        }
        for (id, lease) in &memory.leases {
            let n: usize = id.as_str().trim_start_matches("d-").parse().unwrap();
            let owner = self.deployments[n].owner;
            let right = lease.owner == owner && (owner.is_here() || !lease.holds_traffic);
            self.hold(Invariant::OneOwner, right, || format!("{id} belongs to {owner:?}, not as {lease:?}"))?;
        }
        Ok(())
    }

    pub(crate) fn check_action(&self, action: &Action) -> Checked {
        let memory = &self.memory;
        let deploys = memory.leases.values().any(|lease| lease.holds_traffic);
        match action {
            Action::Register { group, targets } => {
                self.hold(Invariant::NoReturnOnceLeaving, memory.leaving.is_none(), || format!("{action:?}"))?;
                let taken = |target| memory.taken_out.get(group).is_some_and(|taken| taken.since(target).is_some());
                self.hold(Invariant::OnlyWhatWasTaken, targets.iter().all(taken), || format!("{action:?}"))?;
                let replaces = self.deployments.iter().any(|deployment| deployment.replacing);
                let wanted = !deploys && !replaces && memory.hold.is_none();
                self.hold(Invariant::OutWhileReplaced, wanted, || format!("{action:?}"))
            }
            Action::Deregister { group, targets } => {
                let wanted = deploys || memory.hold.is_some() || memory.leaving.is_some();
                self.hold(Invariant::OneOwner, wanted, || format!("nobody wanted {action:?}"))?;
                let taken = |target| memory.taken_out.get(group).is_some_and(|taken| taken.since(target).is_some());
                self.hold(Invariant::WrittenBeforeTaken, targets.iter().all(taken), || format!("{action:?}"))?;
                if memory.hold.is_some() || memory.leaving.is_some() {
                    return Ok(());
                }
                let last = self.seen.get(&number(group)).is_some_and(|seen| {
                    let healthy = seen.own.values().any(|state| *state == TargetState::Healthy);
                    seen.peers > 0 && seen.healthy_peers == 0 && healthy
                });
                self.hold(Invariant::LastHealthySpared, !last, || format!("{action:?}"))
            }
            Action::RunDrainScripts { .. } | Action::RemoveTags | Action::Release { .. } => {
                let now = self.now().at;
                let in_time = memory.leaving.as_ref().is_some_and(|leaving| now < leaving.deadline);
                self.hold(Invariant::WithinTheDeadline, in_time, || format!("{action:?}"))
            }
            Action::Reply { call, answer } => {
                let caller = self.calls.get(call).copied();
                let in_time = caller.is_some_and(|caller| self.t <= caller.until.0);
                self.hold(Invariant::OneAnswerInTime, in_time, || format!("{action:?} for {caller:?}"))?;
                match caller {
                    Some(Caller { hook: Some((n, E::ApplicationStop | E::BeforeInstall)), .. })
                        if answer.verdict == Verdict::Done
                            && self.deployments[n].owner != Owner::CodeDeploy
                            && memory.leaving.is_none() =>
                    {
                        self.check_drained()
                    }
                    Some(_) | None => Ok(()),
                }
            }
            Action::Promise { call, within, .. } => {
                let caller = self.calls.get(call).copied();
                let in_time = caller.is_some_and(|caller| self.t + millis(*within) <= caller.until.0);
                self.hold(Invariant::OneAnswerInTime, in_time, || format!("{action:?} for {caller:?}"))
            }
            Action::Elastigroup(order) => self.check_order(order),
            Action::LearnOwner { .. }
            | Action::LearnDeployment { .. }
            | Action::AskReplacement
            | Action::DiscoverGroups
            | Action::ObserveGroup { .. }
            | Action::CountConnections { .. }
            | Action::Progress { .. }
            | Action::Announce { .. } => Ok(()),
        }
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

    /// Nobody waits too long, and something is scheduled.
    pub(crate) fn check_waiting(&self) -> Checked {
        let late = self.calls.iter().find(|(_, caller)| caller.until.0 < self.t);
        self.hold(Invariant::OneAnswerInTime, late.is_none(), || format!("no answer for {late:?}"))?;
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
