//! The other side of every call.

use std::time::Duration;

use pitcrew_core::ids::TargetGroupArn;
use pitcrew_core::time::{Instant, millis};
use pitcrew_core::wire::{Action, DeploymentState, Event, Failure, FailureKind, GroupFacts};

use crate::balancer::{DELAY, Group};
use crate::invariant::Invariant;
use crate::laws::{Caller, Checked, Judged};
use crate::registration::By;
use crate::world::{Happening, TICK, World};

impl World {
    pub(crate) fn carry_out(&mut self, action: Action) -> Checked {
        match action {
            Action::Reply { call, answer } => {
                let now = self.now();
                let sentence = self.mind.as_mut().map(|mind| mind.view(now).sentence);
                self.hold(Invariant::Lives, sentence != Some(String::new()), || "nothing to say".into())?;
                if let Some(Caller { hook: Some((deployment, event)), .. }) = self.calls.remove(&call) {
                    self.hook_answered(deployment, event, answer.verdict);
                }
            }
            Action::Promise { call, within, .. } => {
                let until = Instant(self.t + millis(within));
                self.calls.entry(call).and_modify(|caller| caller.promised = Some(until));
            }
            Action::Retract { call } => {
                self.calls.entry(call).and_modify(|caller| caller.promised = None);
            }
            Action::Progress { .. } | Action::Announce { .. } => {}
            Action::LearnOwner { .. }
            | Action::LearnDeployment { .. }
            | Action::AskReplacement
            | Action::DiscoverGroups
            | Action::ObserveGroup { .. }
            | Action::Deregister { .. }
            | Action::Register { .. }
            | Action::CountConnections { .. }
            | Action::RunDrainScripts { .. }
            | Action::RemoveTags
            | Action::Elastigroup(_)
            | Action::Release { .. } => {
                self.at(self.t + TICK, Happening::Arrives { action, answered: true });
            }
        }
        Ok(())
    }

    /// Takes effect; returns the answer.
    pub(crate) fn arrives(&mut self, action: Action, by: By) -> Option<Event> {
        Some(match action {
            Action::Deregister { group, .. } => {
                self.change(number(&group), false, by);
                Event::Deregistered { group, answer: Ok(()) }
            }
            Action::Register { group, .. } => {
                self.change(number(&group), true, by);
                Event::Registered { group, answer: Ok(()) }
            }
            Action::ObserveGroup { group } => {
                let seen = self.groups[number(&group)].observe(self.t, self.app_is_up());
                Event::GroupObserved { group, answer: Ok(seen) }
            }
            Action::DiscoverGroups => {
                let holds_us = |group: &Group| !group.observe(self.t, true).own.is_empty();
                let groups = self.groups.iter().enumerate().filter(|(_, group)| holds_us(group));
                let facts = groups.map(|(n, _)| GroupFacts {
                    arn: TargetGroupArn::new(format!("g{n}")),
                    deregistration_delay: Duration::from_millis(DELAY),
                });
                Event::GroupsDiscovered { answer: Ok(facts.collect()) }
            }
            Action::LearnOwner { group } => {
                let owner = self.deployments[group.name.parse::<usize>().unwrap()].owner;
                Event::OwnerLearned { answer: Ok(owner), group }
            }
            Action::LearnDeployment { deployment } => {
                let n: usize = deployment.as_str().trim_start_matches("d-").parse().unwrap();
                let over = self.deployments[n].is_over();
                let state = if over { DeploymentState::Failed } else { DeploymentState::Running };
                Event::DeploymentLearned { deployment, answer: Ok(state) }
            }
            Action::CountConnections { ports } => {
                let on = |port: u16| self.groups.iter().filter(move |group| group.target.port == port);
                let count = |port: u16| on(port).map(|group| group.connections(self.t)).sum();
                Event::ConnectionsCounted { counts: ports.into_iter().map(|port| (port, count(port))).collect() }
            }
            Action::AskReplacement => Event::ReplacementAsked { answer: Ok("asked".to_owned()) },
            Action::RunDrainScripts { .. } => Event::DrainScriptsEnded { answer: Ok(()) },
            Action::RemoveTags => Event::TagsRemoved { answer: Ok(()) },
            Action::Release { .. } => Event::Released { answer: Ok(()) },
            Action::Elastigroup(order) => {
                let answer = Ok(self.elastigroup(&order, by));
                Event::ElastigroupReplied { order, answer }
            }
            Action::Reply { .. }
            | Action::Promise { .. }
            | Action::Retract { .. }
            | Action::Progress { .. }
            | Action::Announce { .. } => {
                return None;
            }
        })
    }

    /// The balancer's replicas are so far apart at most.
    pub(crate) fn may_be_stale(&self, group: &TargetGroupArn) -> bool {
        let group = &self.groups[number(group)];
        group.since.0 > 0 && self.t < group.since.0 + 16 * TICK
    }

    /// A look that shows what was before the latest change.
    pub(crate) fn arrives_late(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::ObserveGroup { group } => {
                let seen = self.groups[number(&group)].before.clone();
                Some(Event::GroupObserved { group, answer: Ok(seen) })
            }
            other => self.arrives(other, By::Us),
        }
    }

    pub(crate) fn change(&mut self, group: usize, register: bool, by: By) {
        let (t, up) = (self.t, self.app_is_up());
        self.note(|| format!("g{group} {} by {by:?}", if register { "in" } else { "out" }));
        self.groups[group].change(t, register, by, up);
    }
}

pub(crate) fn number(group: &TargetGroupArn) -> usize {
    group.as_str().trim_start_matches('g').parse().unwrap()
}

/// The answer to a call that failed.
pub(crate) fn failed(action: Action, kind: FailureKind) -> Event {
    let failure = Failure { kind, sentence: format!("{kind:?}") };
    match action {
        Action::LearnOwner { group } => Event::OwnerLearned { group, answer: Err(failure) },
        Action::LearnDeployment { deployment } => Event::DeploymentLearned { deployment, answer: Err(failure) },
        Action::DiscoverGroups => Event::GroupsDiscovered { answer: Err(failure) },
        Action::ObserveGroup { group } => Event::GroupObserved { group, answer: Err(failure) },
        Action::Deregister { group, .. } => Event::Deregistered { group, answer: Err(failure) },
        Action::Register { group, .. } => Event::Registered { group, answer: Err(failure) },
        Action::CountConnections { .. } => Event::ConnectionsCounted { counts: [].into() },
        Action::AskReplacement => Event::ReplacementAsked { answer: Err(failure) },
        Action::RunDrainScripts { .. } => Event::DrainScriptsEnded { answer: Err(failure) },
        Action::RemoveTags => Event::TagsRemoved { answer: Err(failure) },
        Action::Release { .. } => Event::Released { answer: Err(failure) },
        Action::Elastigroup(order) => Event::ElastigroupReplied { order, answer: Err(failure) },
        Action::Reply { .. }
        | Action::Promise { .. }
        | Action::Retract { .. }
        | Action::Progress { .. }
        | Action::Announce { .. } => Event::TimerElapsed,
    }
}

/// Whether a change by others, or by a ghost of ours, is too recent to have been seen.
pub(crate) fn is_recent(group: &Group, now: u64) -> bool {
    Instant(now).since(group.since) < Duration::from_secs(70) && group.by != By::Us
}
