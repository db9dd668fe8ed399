//! Who waits for an answer, and the one answer that each gets.

mod hook;
mod operator;

use crate::asks::Ask;
use crate::core::Core;
use crate::ids::CallId;
use crate::lifecycle::LifecycleEvent;
use crate::memory::{self, Ending};
use crate::notice::Notice;
use crate::time::{Instant, Now};
use crate::wire::{Action, Answer, HookCall, OperatorRequest, Verdict};

/// A call that has no answer yet.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) asked: Asked,
    pub(crate) since: Instant,
    deadline: Instant,
    /// The latest progress sentence, so that none is said twice.
    said: String,
    /// Until when, at the latest, its end was promised to the caller; `None`: nothing is.
    promised: Option<Instant>,
}

/// What the call wants.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Hook(HookCall),
    Operator(OperatorRequest),
}

/// What a look at a call says.
enum Judged {
    Wait(String),
    /// How the call will end is settled; its end waits, until then at the latest. With how things go.
    Promise {
        answer: Answer,
        until: Instant,
        sentence: String,
    },
    Answer(Answer, Consequence),
}

/// What the answer does to the deployment.
enum Consequence {
    None,
    /// The deployment goes on; it was heard of.
    Renew,
    /// The deployment no longer keeps traffic out; the call waits on.
    Return,
    Close(Ending),
}

impl Call {
    fn new(asked: Asked, now: Instant) -> Self {
        let patience = match &asked {
            Asked::Hook(hook) => hook.patience,
            Asked::Operator(
                OperatorRequest::Out { patience, .. }
                | OperatorRequest::In { patience }
                | OperatorRequest::Leave { patience, .. },
            ) => *patience,
        };
        Self { asked, since: now, deadline: now.after(patience), said: String::new(), promised: None }
    }
}

fn answer(verdict: Verdict, sentence: impl Into<String>) -> Answer {
    Answer { verdict, sentence: sentence.into() }
}

fn done(sentence: impl Into<String>, consequence: Consequence) -> Judged {
    Judged::Answer(answer(Verdict::Done, sentence), consequence)
}

impl Core {
    pub(crate) fn hook_arrived(&mut self, now: Now, call: CallId, hook: HookCall) {
        if self.late_answer(&hook).is_none() {
            if self.open_or_renew(now, &hook).is_none() {
                self.asks.afresh(&Ask::Owner(hook.group.clone()));
            }
            let moved = matches!(hook.event, LifecycleEvent::AfterBlockTraffic | LifecycleEvent::AfterAllowTraffic);
            if moved {
                self.believe_nothing_old(now.at);
            }
            // What CodeDeploy is about to block must be known.
            let unseen = hook.event == LifecycleEvent::BeforeBlockTraffic && !self.knows_places(now.at);
            if moved || unseen {
                self.look_afresh();
            }
        }
        self.calls.insert(call, Call::new(Asked::Hook(hook), now.at));
    }

    pub(crate) fn operator_asked(
        &mut self,
        now: Now,
        call: CallId,
        request: OperatorRequest,
        actions: &mut Vec<Action>,
    ) {
        match &request {
            OperatorRequest::Out { ttl, .. } => self.memory.hold = Some(memory::hold(now, *ttl)),
            OperatorRequest::In { .. } => self.memory.hold = None,
            OperatorRequest::Leave { within, .. } => self.notice_seen(now, Notice::of_operator(now, *within), actions),
        }
        self.calls.insert(call, Call::new(Asked::Operator(request), now.at));
    }

    /// The caller stops waiting. A hook that is stopped fails its deployment, and CodeDeploy runs nothing after it:
    /// what it had begun is undone. An operator's wish stands.
    pub(crate) fn call_abandoned(&mut self, now: Now, id: CallId, actions: &mut Vec<Action>) {
        let Some(call) = self.calls.remove(&id) else {
            return;
        };
        let sentence = match call.asked {
            Asked::Operator(_) => "no longer waiting; what was asked still stands".to_owned(),
            Asked::Hook(hook) => {
                if !self.is_calling(&hook.deployment) {
                    self.close(now, &hook.deployment, Ending::HookFailed);
                }
                format!("{} was stopped: {}", hook.event, self.what_follows(&hook))
            }
        };
        actions.push(Action::Reply { call: id, answer: answer(Verdict::TimedOut, sentence) });
    }

    /// What becomes of traffic when the deployment of `hook` ends here.
    fn what_follows(&self, hook: &HookCall) -> String {
        let others = self.memory.leases.iter().find(|(id, lease)| **id != hook.deployment && lease.holds_traffic);
        match (others, self.health.complaint()) {
            _ if self.memory.leaving.is_some() => "the instance is leaving".into(),
            _ if self.memory.hold.is_some() => "held out of traffic by an operator".into(),
            (Some((id, _)), _) => format!("traffic returns after deployment {id}"),
            (None, _) if !self.memory.is_out() => "still in traffic, as before".into(),
            (None, None) => "returning to traffic".into(),
            (None, Some(complaint)) => {
                format!("staying out of traffic until the application is healthy ({complaint})")
            }
        }
    }

    /// Answers each call that can be answered; says whether any answer may have changed what is wanted.
    pub(crate) fn answer_calls(&mut self, now: Now, actions: &mut Vec<Action>) -> bool {
        self.watch_leases(now.at, actions);
        let ids: Vec<CallId> = self.calls.keys().copied().collect();
        for id in ids {
            let Some(call) = self.calls.get(&id).cloned() else {
                continue;
            };
            let judged = match &call.asked {
                Asked::Hook(hook) => self.judge_hook(now, &call, hook, actions),
                Asked::Operator(request) => self.judge_operator(now, &call, request),
            };
            match judged {
                Judged::Answer(_, Consequence::Return) => {
                    self.carry_out(now, &call, &Consequence::Return);
                    return true;
                }
                Judged::Answer(answer, consequence) => {
                    self.calls.remove(&id);
                    self.carry_out(now, &call, &consequence);
                    actions.push(Action::Reply { call: id, answer });
                    return true;
                }
                Judged::Promise { answer, until, sentence } => {
                    self.asks.wake_no_later_than(until);
                    self.promise(now.at, id, answer, until, actions);
                    self.say(id, sentence, actions);
                }
                Judged::Wait(sentence) => {
                    self.asks.wake_no_later_than(call.deadline);
                    self.retract(id, actions);
                    self.say(id, sentence, actions);
                }
            }
        }
        false
    }

    /// Tells the caller how its call will end, and again where another notice changed until when.
    fn promise(&mut self, now: Instant, id: CallId, answer: Answer, until: Instant, actions: &mut Vec<Action>) {
        if let Some(call) = self.calls.get_mut(&id)
            && call.promised != Some(until)
        {
            call.promised = Some(until);
            actions.push(Action::Promise { call: id, answer, within: until.since(now) });
        }
    }

    /// The notice behind a promise was withdrawn: if this agent went away now, the caller would let the application stop
    /// although nobody knows that it is drained.
    fn retract(&mut self, id: CallId, actions: &mut Vec<Action>) {
        if let Some(call) = self.calls.get_mut(&id)
            && call.promised.take().is_some()
        {
            actions.push(Action::Retract { call: id });
        }
    }

    fn say(&mut self, id: CallId, sentence: String, actions: &mut Vec<Action>) {
        if let Some(call) = self.calls.get_mut(&id)
            && call.said != sentence
        {
            call.said.clone_from(&sentence);
            actions.push(Action::Progress { call: id, sentence });
        }
    }

    fn carry_out(&mut self, now: Now, call: &Call, consequence: &Consequence) {
        let Asked::Hook(hook) = &call.asked else {
            return;
        };
        match consequence {
            Consequence::None => {}
            Consequence::Renew => {
                if let Some(lease) = self.memory.leases.get_mut(&hook.deployment) {
                    lease.heard = now.at;
                }
            }
            Consequence::Return => {
                if let Some(lease) = self.memory.leases.get_mut(&hook.deployment) {
                    lease.holds_traffic = false;
                }
            }
            Consequence::Close(ending) => self.close(now, &hook.deployment, *ending),
        }
    }
}
