//! The design's invariants, stated once over whatever a core runs in: checked after every step and before every action, by
//! the seeded worlds and by the model.

use std::collections::BTreeMap;

use pitcrew_core::elastigroup::{Order, Signal};
use pitcrew_core::ids::{CallId, TargetGroupArn};
use pitcrew_core::lifecycle::LifecycleEvent as E;
use pitcrew_core::memory::Memory;
use pitcrew_core::notice::NoticeKind;
use pitcrew_core::settings::Settings;
use pitcrew_core::time::{Instant, Now, millis};
use pitcrew_core::wire::{Action, Event, Observation, Owner, Target, TargetState, Verdict};

use crate::invariant::{Broken, Invariant};

pub(crate) type Checked = Result<(), Broken>;

/// A protection lasts no longer, in milliseconds.
const LONGEST: u64 = 24 * 3_600_000;

/// Who waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// Until when, told like [`Judged::t`].
    pub(crate) until: Instant,
    /// The deployment whose hook it is; `None`: an operator.
    pub(crate) hook: Option<(usize, E)>,
    /// Until when its end is promised, told likewise; `None`: it is not.
    pub(crate) promised: Option<Instant>,
}

/// A world that is judged.
pub(crate) trait Judged {
    /// Milliseconds since it began.
    fn t(&self) -> u64;
    /// As the core is told.
    fn now(&self) -> Now;
    fn settings(&self) -> &Settings;
    /// What is written down.
    fn memory(&self) -> &Memory;
    /// Who moves traffic for the deployment with this number.
    fn owner(&self, deployment: usize) -> Owner;
    /// Whether a deployment is replacing the application.
    fn replaces(&self) -> bool;
    /// What the core was last shown of a target group.
    fn seen(&self, group: &TargetGroupArn) -> Option<&Observation>;
    /// Who waits for an answer, and has not given up.
    fn calls(&self) -> &BTreeMap<CallId, Caller>;
    /// Whether nothing comes here and nothing is in flight.
    fn check_drained(&self) -> Checked;
    /// Whether a register call of ours is on its way.
    fn is_registering(&self) -> bool;
    fn is_in_standby(&self) -> bool;

    fn hold(&self, invariant: Invariant, holds: bool, what: impl FnOnce() -> String) -> Checked {
        if holds { Ok(()) } else { Err(Broken { invariant, t: self.t(), what: what() }) }
    }

    /// What is written down after `event`, where `before` was written down.
    fn check_memory(&self, event: &Event, before: &Memory) -> Checked {
        let memory = self.memory();
        if let Event::NoticeSeen { notice } = event {
            let heard = memory.leaving.is_some() || notice.kind == NoticeKind::Rebalance;
            self.hold(Invariant::NoReturnOnceLeaving, heard, || format!("{notice:?} was not heard"))?;
        }
        let may_stay = match event {
            Event::NoticeWithdrawn { .. } => self.settings().return_when_withdrawn,
            Event::Started => {
                let mut notices = before.leaving.iter().flat_map(|leaving| &leaving.notices);
                notices.all(|notice| notice.kind == NoticeKind::Shutdown)
            }
            _ => false,
        };
        let stays = before.leaving.is_none() || memory.leaving.is_some() || may_stay;
        self.hold(Invariant::NoReturnOnceLeaving, stays, || format!("forgot that it leaves over {event:?}"))?;
        for (id, lease) in &memory.leases {
            let owner = self.owner(id.as_str().trim_start_matches("d-").parse().unwrap());
            let right = lease.owner == owner && (owner.is_here() || !lease.holds_traffic);
            self.hold(Invariant::OneOwner, right, || format!("{id} belongs to {owner:?}, not as {lease:?}"))?;
        }
        Ok(())
    }

    /// An action that is about to be carried out.
    fn check_action(&self, action: &Action) -> Checked {
        let memory = self.memory();
        let deploys = memory.leases.values().any(|lease| lease.holds_traffic);
        let taken = |group: &TargetGroupArn, targets: &[Target]| {
            let taken = memory.taken_out.get(group);
            targets.iter().all(|target| taken.is_some_and(|taken| taken.since(target).is_some()))
        };
        match action {
            Action::Register { group, targets } => {
                self.hold(Invariant::NoReturnOnceLeaving, memory.leaving.is_none(), || format!("{action:?}"))?;
                self.hold(Invariant::OnlyWhatWasTaken, taken(group, targets), || format!("{action:?}"))?;
                let wanted = !deploys && !self.replaces() && memory.hold.is_none();
                self.hold(Invariant::OutWhileReplaced, wanted, || format!("{action:?}"))
            }
            Action::Deregister { group, targets } => {
                let wanted = deploys || memory.hold.is_some() || memory.leaving.is_some();
                self.hold(Invariant::OneOwner, wanted, || format!("nobody wanted {action:?}"))?;
                self.hold(Invariant::WrittenBeforeTaken, taken(group, targets), || format!("{action:?}"))?;
                if memory.hold.is_some() || memory.leaving.is_some() {
                    return Ok(());
                }
                let last = self.seen(group).is_some_and(|seen| {
                    let healthy = seen.own.values().any(|state| *state == TargetState::Healthy);
                    seen.peers > 0 && seen.healthy_peers == 0 && healthy
                });
                self.hold(Invariant::LastHealthySpared, !last, || format!("{action:?}"))
            }
            Action::Elastigroup(order) => self.check_order(order),
            Action::RunDrainScripts { .. } | Action::RemoveTags | Action::Release { .. } => {
                let now = self.now().at;
                let in_time = memory.leaving.as_ref().is_some_and(|leaving| now < leaving.deadline);
                self.hold(Invariant::WithinTheDeadline, in_time, || format!("{action:?}"))?;
                if matches!(action, Action::Release { .. }) { self.check_let_go() } else { Ok(()) }
            }
            Action::Reply { call, answer } => {
                let caller = self.calls().get(call);
                let in_time = caller.is_some_and(|caller| self.t() <= caller.until.0);
                self.hold(Invariant::OneAnswerInTime, in_time, || format!("{action:?} for {caller:?}"))?;
                match caller.and_then(|caller| caller.hook) {
                    Some((n, E::ApplicationStop | E::BeforeInstall))
                        if answer.verdict == Verdict::Done
                            && self.owner(n) != Owner::CodeDeploy
                            && memory.leaving.is_none() =>
                    {
                        self.check_drained()
                    }
                    // The block follows the answer: what takes effect after it stays in while the application is replaced.
                    Some((n, E::BeforeBlockTraffic))
                        if answer.verdict == Verdict::Done
                            && self.owner(n) == Owner::CodeDeploy
                            && memory.leaving.is_none() =>
                    {
                        self.hold(Invariant::OneOwner, !self.is_registering(), || {
                            format!("{action:?} while registering")
                        })
                    }
                    Some(_) | None => Ok(()),
                }
            }
            Action::Promise { call, within, .. } => {
                let caller = self.calls().get(call);
                let in_time = caller.is_some_and(|caller| self.t() + millis(*within) <= caller.until.0);
                self.hold(Invariant::OneAnswerInTime, in_time, || format!("{action:?} for {caller:?}"))
            }
            Action::Retract { call } => {
                let caller = self.calls().get(call);
                let promised = caller.is_some_and(|caller| caller.promised.is_some());
                self.hold(Invariant::OneAnswerInTime, promised, || format!("{action:?} for {caller:?}"))
            }
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

    /// Nobody waits too long, and what a caller was promised still stands: it lets the application stop when that time is
    /// over, whatever becomes of the agent.
    fn check_calls(&self) -> Checked {
        let leaving = self.memory().leaving.is_some();
        for (call, caller) in self.calls() {
            self.hold(Invariant::OneAnswerInTime, self.t() <= caller.until.0, || format!("no answer for {caller:?}"))?;
            let stands = caller.promised.is_none_or(|promised| leaving && self.t() <= promised.0);
            self.hold(Invariant::DrainedBeforeDone, stands, || format!("{call:?} was promised its end: {caller:?}"))?;
        }
        Ok(())
    }

    /// The instance may end after this: what comes to it then is lost.
    fn check_let_go(&self) -> Checked {
        let memory = self.memory();
        let Some(leaving) = &memory.leaving else { return Ok(()) };
        if self.now().at >= leaving.drain_until() {
            return Ok(());
        }
        let puts_back = memory.leases.iter().find(|(_, lease)| lease.owner == Owner::CodeDeploy);
        self.hold(Invariant::KeptWhilePutBack, puts_back.is_none(), || format!("{puts_back:?} may register it yet"))
    }

    fn check_order(&self, order: &Order) -> Checked {
        let memory = self.memory();
        let wanted_out = memory.leases.values().any(|lease| lease.holds_traffic) || memory.hold.is_some();
        match order {
            Order::EnterStandby => {
                self.hold(Invariant::OneOwner, wanted_out, || format!("nobody wanted {order:?}"))?;
                let written = memory.elastigroup.standby.is_some();
                self.hold(Invariant::WrittenBeforeTaken, written, || format!("{order:?}"))
            }
            Order::ExitStandby => {
                self.hold(Invariant::NoReturnOnceLeaving, memory.leaving.is_none(), || format!("{order:?}"))?;
                self.hold(Invariant::OutWhileReplaced, !wanted_out, || format!("{order:?}"))
            }
            Order::Lock { minutes } | Order::Suspend { minutes, .. } => {
                let lasts = u64::from(*minutes) * 60_000;
                let patience = millis(self.settings().assume_dead_after);
                let longest = memory.leases.values().map(|lease| lease.heard.0 + patience).max();
                let enough = longest.is_some_and(|longest| self.now().at.0 + lasts >= longest);
                self.hold(Invariant::ProtectionsEnd, enough && lasts <= LONGEST, || {
                    format!("{order:?} does not end a while after {longest:?}")
                })
            }
            Order::Signal(Signal::ReadyToShutdown) => self.check_let_go(),
            Order::Signal(_) | Order::ReadGroup | Order::Look | Order::Unlock | Order::Resume { .. } => Ok(()),
        }
    }

    /// In the end nothing is held any more, unless the instance stays out; what could not be given back ends by itself.
    fn check_protections(&self, stays_out: bool) -> Checked {
        let kept = &self.memory().elastigroup;
        let held = kept.lock.or(kept.suspensions);
        self.hold(Invariant::ProtectionsEnd, held.is_none(), || format!("{held:?} was not given back"))?;
        self.hold(Invariant::ProtectionsEnd, stays_out || !self.is_in_standby(), || "in standby for ever".into())
    }
}
