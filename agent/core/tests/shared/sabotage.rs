//! The core, whole or with one fault planted around it: proof that the checker can find something.

use pitcrew_core::Core;
use pitcrew_core::elastigroup::Order;
use pitcrew_core::leaving::Stage;
use pitcrew_core::lifecycle::LifecycleEvent;
use pitcrew_core::memory::Memory;
use pitcrew_core::settings::Settings;
use pitcrew_core::time::{Instant, Now};
use pitcrew_core::traffic::wanted;
use pitcrew_core::view::View;
use pitcrew_core::wire::{Action, Answer, Event, Verdict};
use std::time::Duration;

use crate::invariant::Invariant;
use crate::registration::target;

/// A planted fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    RegistersWhileLeaving,
    NeverGivesBack,
    RegistersAStranger,
    MovesForCodeDeploy,
    AnswersTwice,
    NeverAnswers,
    StaysInStandby,
    LocksForGood,
    LocksTooShort,
    ActsWhenTheTimeIsOver,
    TakesTheLastHealthyOut,
    AnswersBeforeAllHasDrained,
    ReturnsWhileTheApplicationIsReplaced,
    DoesNotWriteDown,
    Oversleeps,
    LetsGoBeforeCodeDeployPutsBack,
    BlocksWhileRegistering,
    KeepsAWithdrawnPromise,
}

/// Each planted fault, and as what it is found.
pub(crate) const PLANTED: [(Sabotage, Invariant); 18] = [
    (Sabotage::RegistersWhileLeaving, Invariant::NoReturnOnceLeaving),
    (Sabotage::NeverGivesBack, Invariant::NothingStranded),
    (Sabotage::RegistersAStranger, Invariant::OnlyWhatWasTaken),
    (Sabotage::MovesForCodeDeploy, Invariant::OneOwner),
    (Sabotage::AnswersTwice, Invariant::OneAnswerInTime),
    (Sabotage::NeverAnswers, Invariant::OneAnswerInTime),
    (Sabotage::StaysInStandby, Invariant::ProtectionsEnd),
    (Sabotage::LocksForGood, Invariant::ProtectionsEnd),
    (Sabotage::LocksTooShort, Invariant::ProtectionsEnd),
    (Sabotage::ActsWhenTheTimeIsOver, Invariant::WithinTheDeadline),
    (Sabotage::TakesTheLastHealthyOut, Invariant::LastHealthySpared),
    (Sabotage::AnswersBeforeAllHasDrained, Invariant::DrainedBeforeDone),
    (Sabotage::ReturnsWhileTheApplicationIsReplaced, Invariant::OutWhileReplaced),
    (Sabotage::DoesNotWriteDown, Invariant::WrittenBeforeTaken),
    (Sabotage::Oversleeps, Invariant::Lives),
    (Sabotage::LetsGoBeforeCodeDeployPutsBack, Invariant::KeptWhilePutBack),
    (Sabotage::BlocksWhileRegistering, Invariant::OneOwner),
    (Sabotage::KeepsAWithdrawnPromise, Invariant::DrainedBeforeDone),
];

#[derive(Clone, Debug)]
pub(crate) struct Mind {
    core: Core,
    fault: Option<Sabotage>,
}

impl Mind {
    pub(crate) fn new(mut settings: Settings, memory: Memory, now: Now, fault: Option<Sabotage>) -> Self {
        match fault {
            Some(Sabotage::TakesTheLastHealthyOut) => settings.keep_last_healthy = false,
            Some(Sabotage::AnswersBeforeAllHasDrained) => {
                (settings.settle, settings.quiet_period) = (Duration::ZERO, Duration::ZERO);
            }
            Some(_) | None => {}
        }
        Self { core: Core::new(settings, memory, now), fault }
    }

    pub(crate) fn step(&mut self, now: Now, event: Event) -> Vec<Action> {
        let arrived = match &event {
            Event::HookArrived { call, hook } => Some((hook.event, *call)),
            _ => None,
        };
        let hook = arrived.map(|(event, _)| event);
        let mut actions = self.core.step(now, event);
        let Some(fault) = self.fault else { return actions };
        let taken = self.core.memory().taken_out.iter().next();
        let give_back = taken.map(|(group, taken)| Action::Register {
            group: group.clone(),
            targets: taken.targets.iter().map(|(target, _)| target.clone()).collect(),
        });
        match fault {
            Sabotage::RegistersWhileLeaving if self.core.memory().leaving.is_some() => actions.extend(give_back),
            Sabotage::ReturnsWhileTheApplicationIsReplaced if hook == Some(LifecycleEvent::AfterInstall) => {
                actions.extend(give_back);
            }
            Sabotage::MovesForCodeDeploy
                if hook == Some(LifecycleEvent::BeforeBlockTraffic) && wanted(self.core.memory()).is_in() =>
            {
                actions.push(Action::Deregister { group: "g0".into(), targets: vec![target(8080)] });
            }
            Sabotage::ActsWhenTheTimeIsOver if self.core.has_left() => actions.push(Action::RemoveTags),
            Sabotage::LetsGoBeforeCodeDeployPutsBack => {
                let leaving = self.core.memory().leaving.as_ref().filter(|leaving| leaving.stage == Stage::Release);
                actions.extend(leaving.map(|leaving| Action::Release { why: leaving.why() }));
            }
            Sabotage::BlocksWhileRegistering => {
                let blocks = arrived.filter(|(event, _)| *event == LifecycleEvent::BeforeBlockTraffic);
                let waits = blocks.filter(|_| !actions.iter().any(|action| matches!(action, Action::Reply { .. })));
                let answer = Answer { verdict: Verdict::Done, sentence: "noted".into() };
                actions.extend(waits.map(|(_, call)| Action::Reply { call, answer }));
            }
            Sabotage::KeepsAWithdrawnPromise => actions.retain(|action| !matches!(action, Action::Retract { .. })),
            Sabotage::NeverGivesBack => actions.retain(|action| !matches!(action, Action::Register { .. })),
            Sabotage::StaysInStandby => {
                actions.retain(|action| !matches!(action, Action::Elastigroup(Order::ExitStandby)));
            }
            Sabotage::LocksTooShort | Sabotage::LocksForGood => {
                for action in &mut actions {
                    if let Action::Elastigroup(Order::Lock { minutes }) = action {
                        *minutes = if fault == Sabotage::LocksTooShort { 1 } else { u32::MAX };
                    }
                }
            }
            Sabotage::NeverAnswers => actions.retain(|action| !matches!(action, Action::Reply { .. })),
            Sabotage::AnswersTwice => {
                let again: Vec<Action> =
                    actions.iter().filter(|action| matches!(action, Action::Reply { .. })).cloned().collect();
                actions.extend(again);
            }
            Sabotage::RegistersAStranger => {
                for action in &mut actions {
                    if let Action::Register { targets, .. } = action {
                        targets.push(target(22));
                    }
                }
            }
            Sabotage::RegistersWhileLeaving
            | Sabotage::ReturnsWhileTheApplicationIsReplaced
            | Sabotage::MovesForCodeDeploy
            | Sabotage::ActsWhenTheTimeIsOver
            | Sabotage::TakesTheLastHealthyOut
            | Sabotage::AnswersBeforeAllHasDrained
            | Sabotage::DoesNotWriteDown
            | Sabotage::Oversleeps => {}
        }
        actions
    }

    pub(crate) fn memory(&self) -> Memory {
        let mut memory = self.core.memory().clone();
        if self.fault == Some(Sabotage::DoesNotWriteDown) {
            memory.taken_out.clear();
        }
        memory
    }

    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.core.wake_at().filter(|_| self.fault != Some(Sabotage::Oversleeps))
    }

    pub(crate) fn view(&mut self, now: Now) -> View {
        self.core.view(now)
    }
}
