//! The other side of the core's calls: does as it is told, unless the test says otherwise.

use std::time::Duration;

use pitcrew_core::elastigroup::{Order, Receipt, Reply};
use pitcrew_core::ids::TargetGroupArn;
use pitcrew_core::wire::{Action, DeploymentState, Event, Failure, FailureKind, GroupFacts, Target};

use super::{Due, Stage};

const LATENCY: u64 = 50;

/// The core's calls to the outside that a test can let fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Api {
    Discover,
    Observe,
    Deregister,
    Register,
    LearnOwner,
    LearnDeployment,
    Replace,
    DrainScripts,
    RemoveTags,
    Release,
    Elastigroup,
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// An error, and no effect.
    Fails(FailureKind),
    /// An error so long after the call, and the effect after all.
    AnswerLost { answer: Duration, effect: Duration },
}

impl Stage {
    pub(crate) fn trouble(&mut self, api: Api, times: u32, trouble: Trouble) {
        self.troubles.insert(api, (times, trouble));
    }

    pub(crate) fn fail(&mut self, api: Api, times: u32, kind: FailureKind) {
        self.trouble(api, times, Trouble::Fails(kind));
    }

    pub(crate) fn mend(&mut self, api: Api) {
        self.troubles.remove(&api);
    }

    pub(super) fn carry_out(&mut self, action: Action) {
        match action {
            Action::Reply { call, answer } => {
                assert!(self.replies.insert(call, (self.now, answer)).is_none(), "two answers to {call:?}");
            }
            Action::Promise { call, answer, within } => {
                assert!(!self.replies.contains_key(&call), "a promise after the answer to {call:?}");
                self.promises.insert(call, (self.now, answer, within));
            }
            Action::Retract { call } => {
                assert!(self.promises.remove(&call).is_some(), "nothing was promised to {call:?}");
            }
            Action::Progress { call, sentence } => self.said.entry(call).or_default().push(sentence),
            Action::CountConnections { ports } => {
                let count = |port: &u16| self.connections.get(port).copied().unwrap_or(Some(0)).map(|n| (*port, n));
                let counts = ports.iter().filter_map(count).collect();
                self.deliver(Event::ConnectionsCounted { counts });
            }
            Action::LearnOwner { group } => {
                let answer = self.attempt(Api::LearnOwner).map(|()| self.owner);
                self.say(Event::OwnerLearned { group, answer });
            }
            Action::LearnDeployment { deployment } => {
                let state = self.deployments.get(&deployment).copied().unwrap_or(DeploymentState::Running);
                let answer = self.attempt(Api::LearnDeployment).map(|()| state);
                self.say(Event::DeploymentLearned { deployment, answer });
            }
            Action::AskReplacement => {
                let answer = self.attempt(Api::Replace).map(|()| "asked".to_owned());
                self.deliver(Event::ReplacementAsked { answer });
            }
            Action::DiscoverGroups => {
                let holds_us = self.groups.iter().filter(|(_, group)| !group.observe(self.now, true).own.is_empty());
                let facts = holds_us
                    .map(|(arn, group)| GroupFacts { arn: arn.clone(), deregistration_delay: group.delay })
                    .collect();
                let answer = self.attempt(Api::Discover).map(|()| facts);
                self.deliver(Event::GroupsDiscovered { answer });
            }
            Action::ObserveGroup { group } => {
                let seen = match self.groups.get(&group) {
                    Some(there) => Ok(there.observe(self.now, self.app_is_well)),
                    None => Err(failure(Api::Observe, FailureKind::NotFound)),
                };
                let seen = self.stale.get(&group).cloned().map_or(seen, Ok);
                let answer = self.attempt(Api::Observe).and(seen);
                self.deliver(Event::GroupObserved { group, answer });
            }
            Action::RunDrainScripts { .. } => {
                let answer = self.attempt(Api::DrainScripts);
                self.deliver(Event::DrainScriptsEnded { answer });
            }
            Action::RemoveTags => {
                let answer = self.attempt(Api::RemoveTags);
                self.deliver(Event::TagsRemoved { answer });
            }
            Action::Release { .. } => {
                let answer = self.attempt(Api::Release);
                self.deliver(Event::Released { answer });
            }
            Action::Elastigroup(order) => {
                let answer = self.elastigroup_replies(&order);
                self.deliver(Event::ElastigroupReplied { order, answer });
            }
            Action::Announce { sentence, .. } => self.announced.push(sentence),
            Action::Deregister { group, targets } => {
                let (after, answer) = self.attempt_change(Api::Deregister, &group, targets);
                self.schedule(after, Due::Deliver(Event::Deregistered { group, answer }));
            }
            Action::Register { group, targets } => {
                let (after, answer) = self.attempt_change(Api::Register, &group, targets);
                self.schedule(after, Due::Deliver(Event::Registered { group, answer }));
            }
        }
    }

    fn elastigroup_replies(&mut self, order: &Order) -> Result<Reply, Failure> {
        self.attempt(Api::Elastigroup)?;
        let all = |stage: &Self| stage.groups.keys().cloned().collect::<Vec<_>>();
        match order {
            Order::ReadGroup => return Ok(Reply::Group(self.declared)),
            Order::Look => return Ok(Reply::Seen { life: self.life.clone(), load: None }),
            Order::Signal(_) => return Ok(Reply::Signalled(Receipt::default())),
            Order::EnterStandby | Order::ExitStandby => {
                for group in all(self) {
                    let targets = self.groups[&group].registrations.keys().cloned().collect();
                    self.change(&group, targets, *order == Order::ExitStandby);
                }
            }
            Order::Lock { .. } | Order::Unlock | Order::Suspend { .. } | Order::Resume { .. } => {}
        }
        Ok(Reply::Done)
    }

    pub(super) fn deliver(&mut self, event: Event) {
        self.schedule(LATENCY, Due::Deliver(event));
    }

    /// CodeDeploy answers, or keeps it to itself for now.
    fn say(&mut self, event: Event) {
        if self.silent { self.unanswered.push(event) } else { self.deliver(event) }
    }

    pub(super) fn schedule(&mut self, after: u64, due: Due) {
        self.numbers += 1;
        self.due.insert((self.now + after, self.numbers), due);
    }

    fn trouble_with(&mut self, api: Api) -> Option<Trouble> {
        let (times, trouble) = self.troubles.get_mut(&api)?;
        *times = times.checked_sub(1)?;
        Some(*trouble)
    }

    fn attempt(&mut self, api: Api) -> Result<(), Failure> {
        match self.trouble_with(api) {
            None => Ok(()),
            Some(Trouble::Fails(kind)) => Err(failure(api, kind)),
            Some(Trouble::AnswerLost { .. }) => Err(failure(api, FailureKind::Unavailable)),
        }
    }

    /// After how long a change is answered, and with what.
    fn attempt_change(&mut self, api: Api, group: &TargetGroupArn, targets: Vec<Target>) -> (u64, Result<(), Failure>) {
        let effect = Due::Effect { group: group.clone(), targets, register: api == Api::Register };
        match self.trouble_with(api) {
            None if !self.groups.contains_key(group) => (LATENCY, Err(failure(api, FailureKind::NotFound))),
            None => {
                self.schedule(LATENCY / 2, effect);
                (LATENCY, Ok(()))
            }
            Some(Trouble::Fails(kind)) => (LATENCY, Err(failure(api, kind))),
            Some(Trouble::AnswerLost { answer, effect: after }) => {
                self.schedule(after.as_millis() as u64, effect);
                (answer.as_millis() as u64, Err(failure(api, FailureKind::Unavailable)))
            }
        }
    }
}

fn failure(api: Api, kind: FailureKind) -> Failure {
    Failure { kind, sentence: format!("{api:?} failed: {kind:?}") }
}
