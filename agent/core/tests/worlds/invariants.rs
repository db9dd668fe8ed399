//! The design's invariants, checked after every event and before every action.

use pitcrew_core::lifecycle::LifecycleEvent as E;
use pitcrew_core::memory::Memory;
use pitcrew_core::notice::NoticeKind;
use pitcrew_core::time::millis;
use pitcrew_core::wire::{Action, Event, Owner, TargetState, Verdict};

use crate::balancer::{By, Truth};
use crate::codedeploy::Deployment;
use crate::invariant::{Broken, Invariant};
use crate::outside::number;
use crate::world::{Caller, Checked, World};

/// What others change is seen within this time, as long as nothing goes wrong.
const SEEN_WITHIN: u64 = 70_000;
/// Connections are counted so often: one that is shorter may be missed.
const COUNTED_EVERY: u64 = 300;

impl World<'_> {
    pub(crate) fn hold(&self, invariant: Invariant, holds: bool, what: impl FnOnce() -> String) -> Checked {
        if holds { Ok(()) } else { Err(Broken { invariant, t: self.t, what: what() }) }
    }

    pub(crate) fn check_memory(&self, event: &Event, before: &Memory) -> Checked {
        let leaves = |memory: &Memory| memory.leaving.is_some();
        if let Event::NoticeSeen { notice } = event {
            self.hold(
                Invariant::NoReturnOnceLeaving,
                leaves(&self.memory) || notice.kind == NoticeKind::Rebalance,
                || format!("{notice:?} was not heard"),
            )?;
        }
        let may_stay = match event {
            Event::NoticeWithdrawn { .. } => self.settings.return_when_withdrawn,
            Event::Started => before
                .leaving
                .iter()
                .all(|leaving| leaving.notices.iter().all(|notice| notice.kind == NoticeKind::Shutdown)),
            _ => false,
        };
        self.hold(Invariant::NoReturnOnceLeaving, !leaves(before) || leaves(&self.memory) || may_stay, || {
            format!("forgot that it leaves over {event:?}")
        })?;
        for (id, lease) in &self.memory.leases {
            let owner = self.deployments[deployment(id.as_str())].owner;
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
                self.hold(Invariant::OutWhileReplaced, !deploys && !replaces && memory.hold.is_none(), || {
                    format!("{action:?}")
                })
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
            Action::Elastigroup(order) => self.check_order(order),
            Action::RunDrainScripts { .. } | Action::RemoveTags | Action::Release { .. } => {
                let now = self.now().at;
                let in_time = memory.leaving.as_ref().is_some_and(|leaving| now < leaving.deadline);
                self.hold(Invariant::WithinTheDeadline, in_time, || format!("{action:?}"))
            }
            Action::Reply { call, answer } => {
                let caller = self.calls.get(call).copied();
                let in_time = caller.is_some_and(|caller| self.t <= caller.deadline);
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
                let in_time = caller.is_some_and(|caller| self.t + millis(*within) <= caller.deadline);
                self.hold(Invariant::OneAnswerInTime, in_time, || format!("{action:?} for {caller:?}"))
            }
            Action::LearnOwner { .. }
            | Action::LearnDeployment { .. }
            | Action::DiscoverGroups
            | Action::ObserveGroup { .. }
            | Action::CountConnections { .. }
            | Action::Progress { .. }
            | Action::AskReplacement
            | Action::Announce { .. } => Ok(()),
        }
    }

    fn check_drained(&self) -> Checked {
        for (n, group) in self.groups.iter().enumerate() {
            for target in group.targets() {
                let (since, truth, by) = group.truth(target, self.t);
                let recent = self.t.saturating_sub(since) < SEEN_WITHIN;
                if recent && (by == By::Others || by == By::OurGhost) {
                    continue;
                }
                let drained = match truth {
                    Truth::Absent => true,
                    Truth::Registered { .. } => false,
                    Truth::Draining { .. } => {
                        let quiet = millis(self.settings.quiet_period);
                        self.scenario.countable
                            && self.t >= since + millis(self.settings.settle) + quiet
                            && !self.was_open(n, target.port, self.t.saturating_sub(quiet - COUNTED_EVERY), self.t)
                    }
                };
                self.hold(Invariant::DrainedBeforeDone, drained, || {
                    format!("g{n} port {} is {truth:?} since {since}, by {by:?}", target.port)
                })?;
            }
        }
        Ok(())
    }

    /// Nobody waits too long, and something is scheduled.
    pub(crate) fn check_waiting(&self) -> Checked {
        let late = self.calls.iter().find(|(_, caller)| caller.deadline < self.t);
        self.hold(Invariant::OneAnswerInTime, late.is_none(), || format!("no answer for {late:?}"))?;
        self.hold(Invariant::Lives, self.is_alive(), || "nothing is scheduled and nothing under way".into())
    }

    /// What must be so a while after the last trouble.
    pub(crate) fn check_end(&self) -> Checked {
        let memory = &self.memory;
        self.hold(Invariant::NothingStranded, self.deployments.iter().all(Deployment::is_over), || {
            "a deployment never ended".into()
        })?;
        self.hold(Invariant::NothingStranded, memory.leases.is_empty(), || format!("open: {:?}", memory.leases))?;
        let stays_out = memory.leaving.is_some() || memory.hold.is_some();
        self.check_protections(stays_out)?;
        self.hold(Invariant::NothingStranded, stays_out || memory.taken_out.is_empty(), || {
            format!("not given back: {:?}", memory.taken_out)
        })?;
        for (n, group) in self.groups.iter().enumerate() {
            let shown = group.observe(self.t, 0, |t| self.app_is_up(t));
            for target in group.targets() {
                let (_, _, by) = group.truth(target, self.t);
                let right = if stays_out {
                    !group.is_registered(target, self.t)
                } else {
                    shown.own.get(target) == Some(&TargetState::Healthy)
                        || (by == By::Others && !group.is_registered(target, self.t))
                };
                self.hold(Invariant::NothingStranded, right, || {
                    format!("g{n} port {}: {:?}", target.port, shown.own.get(target))
                })?;
            }
        }
        Ok(())
    }
}

fn deployment(id: &str) -> usize {
    id.trim_start_matches("d-").parse().unwrap()
}
