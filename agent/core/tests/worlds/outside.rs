//! The other side of every call: carries actions out, late, wrongly or not at all where the scenario says so.

use std::collections::BTreeMap;
use std::time::Duration;

use pitcrew_core::ids::TargetGroupArn;
use pitcrew_core::time::{Instant, Now, millis};
use pitcrew_core::wire::{Action, Event, Failure, FailureKind, GroupFacts, Target};

use crate::balancer::Group;
use crate::invariant::Invariant;
use crate::laws::{Caller, Checked, Judged};
use crate::registration::By;
use crate::scenario::{Api, CALM, How};
use crate::world::{Happening, World};

impl World<'_> {
    pub(crate) fn carry_out(&mut self, action: Action) -> Checked {
        let api = match &action {
            Action::Reply { call, answer } => {
                if let (Some(mind), now) = (&mut self.mind, Now { at: Instant(self.t - self.boot), ..self.written }) {
                    let view = mind.view(now);
                    self.hold(Invariant::Lives, !view.sentence.is_empty(), || "nothing to say".into())?;
                }
                let caller = self.calls.remove(call);
                if let Some(Caller { hook: Some((deployment, _)), .. }) = caller {
                    self.hook_answered(deployment, answer.verdict);
                }
                return Ok(());
            }
            Action::Promise { call, within, .. } => {
                let until = Instant(self.t + millis(*within));
                self.calls.entry(*call).and_modify(|caller| caller.promised = Some(until));
                return Ok(());
            }
            Action::Retract { call } => {
                self.calls.entry(*call).and_modify(|caller| caller.promised = None);
                return Ok(());
            }
            Action::Progress { .. } | Action::Announce { .. } => return Ok(()),
            Action::CountConnections { ports } => {
                let counts = ports.iter().map(|port| (*port, self.count(*port)));
                let counts = if self.scenario.countable { counts.collect() } else { BTreeMap::new() };
                let (t, run) = (self.t + 3, self.run);
                self.under_way += 1;
                self.at(t, Happening::Answer { run, event: Event::ConnectionsCounted { counts } });
                return Ok(());
            }
            Action::LearnOwner { .. } => Api::LearnOwner,
            Action::LearnDeployment { .. } | Action::AskReplacement => Api::LearnDeployment,
            Action::DiscoverGroups => Api::Discover,
            Action::ObserveGroup { .. } => Api::Observe,
            Action::Deregister { .. } | Action::Register { .. } => Api::Change,
            Action::RunDrainScripts { .. } | Action::RemoveTags | Action::Release { .. } => Api::LastWords,
            Action::Elastigroup(_) => Api::Elastigroup,
        };
        let t = self.t;
        let fault = self.scenario.faults.iter().find(|fault| {
            fault.api == api && fault.from <= t && t < fault.from + fault.lasts && fault.from + fault.lasts < CALM
        });
        let (run, mut latency) = (self.run, 20 + self.random(400));
        self.under_way += 1;
        let kind = match fault.map(|fault| fault.how) {
            None => None,
            Some(How::TakesLong { latency: long }) => {
                latency = long;
                None
            }
            Some(How::Throttles) => Some(FailureKind::Throttled),
            Some(How::FailsBefore) => Some(FailureKind::Unavailable),
            Some(How::Denies) => Some(FailureKind::Denied),
            Some(How::LosesAnswer { effect }) => {
                self.at(t + effect, Happening::Arrives { run, action: action.clone(), answer_after: None });
                latency += 2_000;
                Some(FailureKind::Unavailable)
            }
        };
        match kind {
            None => {
                let arrives = Happening::Arrives { run, action, answer_after: Some(latency / 2) };
                self.at(t + latency - latency / 2, arrives);
            }
            Some(kind) => {
                let failure = Failure { kind, sentence: format!("{api:?}: {kind:?}") };
                self.at(t + latency, Happening::Answer { run, event: failed(action, failure) });
            }
        }
        Ok(())
    }

    pub(crate) fn arrives(&mut self, run: u32, action: Action, answer_after: Option<u64>) {
        let by = if run == self.run && answer_after.is_some() { By::Us } else { By::OurGhost };
        let event = match action {
            Action::Deregister { group, targets } => {
                self.change(number(&group), &targets, false, by);
                Event::Deregistered { group, answer: Ok(()) }
            }
            Action::Register { group, targets } => {
                self.change(number(&group), &targets, true, by);
                Event::Registered { group, answer: Ok(()) }
            }
            Action::ObserveGroup { group } => {
                let lag = self.groups[number(&group)].plan.lag;
                let lag = self.random(lag + 1);
                let seen = self.groups[number(&group)].observe(self.t, lag, |t| self.app_is_up(t));
                Event::GroupObserved { group, answer: Ok(seen) }
            }
            Action::DiscoverGroups => {
                let holds_us = |group: &Group| !group.observe(self.t, 0, |_| true).own.is_empty();
                let facts = self.groups.iter().enumerate().filter(|(_, group)| holds_us(group));
                let facts = facts.map(|(n, group)| GroupFacts {
                    arn: TargetGroupArn::new(format!("g{n}")),
                    deregistration_delay: Duration::from_millis(group.plan.delay),
                });
                Event::GroupsDiscovered { answer: Ok(facts.collect()) }
            }
            Action::LearnOwner { group } => {
                let owner = group.name.parse::<usize>().map(|n| self.deployments[n].owner);
                Event::OwnerLearned { answer: Ok(owner.unwrap()), group }
            }
            Action::LearnDeployment { deployment } => {
                let n: usize = deployment.as_str().trim_start_matches("d-").parse().unwrap();
                let state = self.deployments[n].state(self.t);
                Event::DeploymentLearned { deployment, answer: Ok(state) }
            }
            Action::AskReplacement => Event::ReplacementAsked { answer: Ok("asked".to_owned()) },
            Action::RunDrainScripts { .. } => Event::DrainScriptsEnded { answer: Ok(()) },
            Action::RemoveTags => Event::TagsRemoved { answer: Ok(()) },
            Action::Release { .. } => Event::Released { answer: Ok(()) },
            Action::Elastigroup(order) => {
                let answer = self.elastigroup(&order, by);
                Event::ElastigroupReplied { order, answer }
            }
            Action::CountConnections { .. }
            | Action::Reply { .. }
            | Action::Promise { .. }
            | Action::Retract { .. }
            | Action::Progress { .. }
            | Action::Announce { .. } => return,
        };
        if let Some(after) = answer_after {
            self.at(self.t + after, Happening::Answer { run, event });
        }
    }

    fn count(&self, port: u16) -> usize {
        let registered =
            |group: &&Group| group.targets().any(|target| target.port == port && group.is_registered(target, self.t));
        let in_service = self.groups.iter().filter(registered).count();
        in_service
            + self.requests.iter().filter(|(_, p, from, to)| *p == port && *from <= self.t && self.t < *to).count()
    }

    pub(crate) fn change_by_others(&mut self, group: usize, register: bool) {
        let n = group % self.groups.len();
        let targets: Vec<Target> = self.groups[n].targets().cloned().collect();
        self.change(n, &targets, register, By::Others);
    }

    pub(crate) fn change(&mut self, group: usize, targets: &[Target], register: bool, by: By) {
        let t = self.t;
        self.note(|| format!("g{group}: {targets:?} {} by {by:?}", if register { "in" } else { "out" }));
        if register {
            self.groups[group].register(targets, t, by);
            return;
        }
        for port in self.groups[group].deregister(targets, t, by) {
            // What is in flight goes on for a while, and a request that was on its way may still come; the balancer
            // cuts both when the deregistration delay is over.
            let cut = t + self.groups[group].plan.delay;
            let longest = if self.random(2) == 0 { 500 } else { 12_000 };
            let lasts = self.random(longest);
            self.requests.push((group, port, t, cut.min(t + lasts)));
            if self.random(3) == 0 {
                let begin = cut.min(t + self.random(4_500));
                let lasts = 500 + self.random(3_000);
                self.requests.push((group, port, begin, cut.min(begin + lasts)));
            }
        }
    }
}

pub(crate) fn number(group: &TargetGroupArn) -> usize {
    group.as_str().trim_start_matches('g').parse().unwrap()
}

fn failed(action: Action, failure: Failure) -> Event {
    match action {
        Action::LearnOwner { group } => Event::OwnerLearned { group, answer: Err(failure) },
        Action::LearnDeployment { deployment } => Event::DeploymentLearned { deployment, answer: Err(failure) },
        Action::AskReplacement => Event::ReplacementAsked { answer: Err(failure) },
        Action::DiscoverGroups => Event::GroupsDiscovered { answer: Err(failure) },
        Action::ObserveGroup { group } => Event::GroupObserved { group, answer: Err(failure) },
        Action::Deregister { group, .. } => Event::Deregistered { group, answer: Err(failure) },
        Action::Register { group, .. } => Event::Registered { group, answer: Err(failure) },
        Action::RunDrainScripts { .. } => Event::DrainScriptsEnded { answer: Err(failure) },
        Action::RemoveTags => Event::TagsRemoved { answer: Err(failure) },
        Action::Release { .. } => Event::Released { answer: Err(failure) },
        Action::Elastigroup(order) => Event::ElastigroupReplied { order, answer: Err(failure) },
        Action::CountConnections { .. }
        | Action::Reply { .. }
        | Action::Promise { .. }
        | Action::Retract { .. }
        | Action::Progress { .. }
        | Action::Announce { .. } => Event::TimerElapsed,
    }
}
