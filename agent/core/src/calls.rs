//! Who waits for an answer, and the one answer that each gets.

use std::time::Duration;

use crate::asks::Ask;
use crate::core::Core;
use crate::ids::CallId;
use crate::leaving::{Leaving, Stage};
use crate::lifecycle::LifecycleEvent;
use crate::memory::{self, Ended, Ending};
use crate::notice::Notice;
use crate::settings::{BeforeStop, OnNotice};
use crate::standing::Progress;
use crate::time::{Instant, Now, Spoken};
use crate::traffic::{Traffic, Why};
use crate::wire::{Action, Answer, Failure, HookCall, OperatorRequest, Owner, Verdict};

/// A call that has no answer yet.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) asked: Asked,
    pub(crate) since: Instant,
    deadline: Instant,
    /// The latest progress sentence, so that none is said twice.
    said: String,
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
        Self { asked, since: now, deadline: now.after(patience), said: String::new() }
    }
}

fn answer(verdict: Verdict, sentence: impl Into<String>) -> Answer {
    Answer { verdict, sentence: sentence.into() }
}

fn done(sentence: impl Into<String>, consequence: Consequence) -> Judged {
    Judged::Answer(answer(Verdict::Done, sentence), consequence)
}

fn stuck(failure: Failure) -> Judged {
    Judged::Answer(answer(Verdict::Misconfigured, failure.sentence), Consequence::Close(Ending::HookFailed))
}

impl Core {
    pub(crate) fn hook_arrived(&mut self, now: Now, call: CallId, hook: HookCall) {
        if self.late_answer(&hook).is_none() {
            if self.open_or_renew(now, &hook).is_none() {
                self.asks.afresh(&Ask::Owner(hook.group.clone()));
            }
            if hook.event == LifecycleEvent::AfterAllowTraffic || hook.event == LifecycleEvent::AfterBlockTraffic {
                self.look_afresh();
            }
        }
        self.calls.insert(call, Call::new(Asked::Hook(hook), now.at));
    }

    /// What a hook is told whose deployment is over here.
    fn late_answer(&self, hook: &HookCall) -> Option<Answer> {
        if self.memory.leases.contains_key(&hook.deployment) {
            return None;
        }
        late(self.memory.ending(&hook.deployment)?, hook)
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
                Judged::Wait(sentence) => {
                    self.asks.wake_no_later_than(call.deadline);
                    self.say(id, sentence, actions);
                }
            }
        }
        false
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

    fn judge_hook(&mut self, now: Now, call: &Call, hook: &HookCall, actions: &mut Vec<Action>) -> Judged {
        if self.memory.leaving.is_some() {
            return self.judge_hook_of_leaving_instance(now, call, hook);
        }
        let judged = match self.memory.leases.get(&hook.deployment).map(|lease| lease.owner) {
            Some(Owner::Pitcrew | Owner::Elastigroup) => self.judge_pitcrew(now, call, hook),
            Some(Owner::CodeDeploy) => self.judge_codedeploy(now, call, hook, actions),
            None => match self.late_answer(hook) {
                Some(answer) => Judged::Answer(answer, Consequence::None),
                None => self.judge_ownerless(now, call, hook, actions),
            },
        };
        match judged {
            Judged::Wait(sentence) if now.at >= call.deadline => self.out_of_time(hook, &sentence),
            Judged::Wait(_) | Judged::Answer(..) => judged,
        }
    }

    /// The wait is over and what was waited for is not there: the deployment fails, and what it took is given back.
    fn out_of_time(&self, hook: &HookCall, sentence: &str) -> Judged {
        let verdict = if ends_deployment(hook.event) { Verdict::Failed } else { Verdict::TimedOut };
        let waited = Spoken(hook.patience);
        let follows = self.what_follows(hook);
        Judged::Answer(
            answer(verdict, format!("{} gave up after {waited}: {sentence}; {follows}", hook.event)),
            Consequence::Close(Ending::HookFailed),
        )
    }

    /// Nobody knows yet who moves traffic for this deployment's group.
    fn judge_ownerless(&mut self, now: Now, call: &Call, hook: &HookCall, actions: &mut Vec<Action>) -> Judged {
        let ask = Ask::Owner(hook.group.clone());
        let failure = self.asks.failure(&ask).filter(|(at, _)| *at >= call.since).map(|(_, failure)| failure);
        if let Some(failure) = failure.filter(|failure| !failure.kind.is_transient()) {
            let sentence = format!("{}; or set [traffic] owner to \"pitcrew\" or \"codedeploy\"", failure.sentence);
            return Judged::Answer(answer(Verdict::Misconfigured, sentence), Consequence::None);
        }
        if self.asks.due(&ask, now.at, Duration::ZERO) {
            actions.push(Action::LearnOwner { group: hook.group.clone() });
        }
        Judged::Wait(self.blocked_by(&[ask], format!("asking CodeDeploy who moves traffic for {}", hook.group)))
    }

    /// The table of DESIGN, column "owner pitcrew".
    fn judge_pitcrew(&mut self, now: Now, call: &Call, hook: &HookCall) -> Judged {
        use LifecycleEvent as E;
        match hook.event {
            E::ApplicationStop | E::BeforeInstall => match self.is_out(now) {
                Progress::There => done(self.said_of_being_out(now, call), Consequence::Renew),
                Progress::Underway(sentence) => Judged::Wait(format!("leaving traffic: {sentence}")),
                Progress::Stuck(failure) => stuck(failure),
            },
            E::AfterInstall | E::ApplicationStart => done(format!("{}: noted", hook.event), Consequence::Renew),
            E::ValidateService => self.judge_return(now, call, hook),
            // CodeDeploy sends these only where it owns traffic, whatever the settings say: see `open_or_renew`.
            E::BeforeBlockTraffic | E::AfterBlockTraffic | E::BeforeAllowTraffic | E::AfterAllowTraffic => {
                Judged::Answer(
                    answer(
                        Verdict::Misconfigured,
                        format!(
                            "{} comes only where CodeDeploy moves traffic, but [traffic] owner says that Pitcrew does \
                             for {}: two owners would undo each other; set owner = \"codedeploy\" or \"auto\", or take \
                             the load balancer out of the deployment group",
                            hook.event, hook.group
                        ),
                    ),
                    Consequence::Close(Ending::HookFailed),
                )
            }
        }
    }

    fn said_of_being_out(&self, now: Now, call: &Call) -> String {
        let targets: usize = self.memory.taken_out.values().map(|taken| taken.targets.len()).sum();
        let empty: Vec<&str> = self.groups.left_empty().map(|group| group.short()).collect();
        let alone = if empty.is_empty() {
            String::new()
        } else {
            format!("; no other target in {}: its requests find nobody meanwhile", empty.join(", "))
        };
        match targets {
            0 => "in no target group, nothing to leave".into(),
            1 => format!("out of traffic and drained after {} (1 target){alone}", Spoken(now.at.since(call.since))),
            n => format!("out of traffic and drained after {} ({n} targets){alone}", Spoken(now.at.since(call.since))),
        }
    }

    /// Locally healthy first, then back in, then healthy in the balancer.
    fn judge_return(&mut self, now: Now, call: &Call, hook: &HookCall) -> Judged {
        let holds = self.memory.leases.get(&hook.deployment).is_some_and(|lease| lease.holds_traffic);
        if !self.health.is_healthy_since(call.since) && (holds || !self.health.is_healthy()) {
            let complaint = self.health.complaint().unwrap_or_else(|| "waiting for a fresh probe".into());
            return Judged::Wait(format!("waiting for the application: {complaint}"));
        }
        if holds {
            return done("", Consequence::Return);
        }
        match &self.wanted {
            Traffic::Out(Why::Deploying(others)) => {
                let others: Vec<&str> = others.iter().map(|id| id.as_str()).collect();
                let sentence = format!("healthy; traffic returns after deployment {}", others.join(", "));
                done(sentence, Consequence::Close(Ending::Succeeded))
            }
            Traffic::Out(Why::Held) => done(
                "healthy; held out of traffic by an operator until `pitcrew in`",
                Consequence::Close(Ending::Succeeded),
            ),
            Traffic::Out(Why::Leaving(_)) => Judged::Wait("leaving".into()),
            Traffic::In => match self.is_back_in() {
                Progress::Underway(_) if self.blocked_by_codedeploy().is_some() => {
                    let others = self.blocked_by_codedeploy().map_or("", |id| id.as_str());
                    let sentence = format!("healthy; traffic returns after deployment {others}");
                    done(sentence, Consequence::Close(Ending::Succeeded))
                }
                Progress::There => {
                    let took = Spoken(now.at.since(call.since));
                    done(format!("healthy and in traffic after {took}"), Consequence::Close(Ending::Succeeded))
                }
                Progress::Underway(sentence) if now.at.since(call.since) >= self.settings.return_within => {
                    self.out_of_time(hook, &sentence)
                }
                Progress::Underway(sentence) => {
                    self.asks.wake_no_later_than(call.since.after(self.settings.return_within));
                    Judged::Wait(format!("returning to traffic: {sentence}"))
                }
                Progress::Stuck(failure) => stuck(failure),
            },
        }
    }

    /// The table of DESIGN, column "owner codedeploy": nothing is moved, only waited for.
    fn judge_codedeploy(&mut self, now: Now, call: &Call, hook: &HookCall, actions: &mut Vec<Action>) -> Judged {
        use LifecycleEvent as E;
        match hook.event {
            E::BeforeBlockTraffic
            | E::ApplicationStop
            | E::BeforeInstall
            | E::AfterInstall
            | E::ApplicationStart
            | E::BeforeAllowTraffic => {
                done(format!("{}: noted; CodeDeploy moves traffic", hook.event), Consequence::Renew)
            }
            E::AfterBlockTraffic => match self.is_registered_anywhere(now.at, call.since, actions) {
                Err(Progress::Stuck(failure)) => stuck(failure),
                Err(Progress::Underway(_) | Progress::There) => {
                    Judged::Wait("looking whether CodeDeploy took this instance out".into())
                }
                Ok(false) => done("CodeDeploy took this instance out of traffic", Consequence::Renew),
                Ok(true) => done(
                    "still registered in a target group that CodeDeploy does not know of: add it to the deployment \
                     group, or its requests will be lost",
                    Consequence::Renew,
                ),
            },
            E::ValidateService if self.health.is_healthy_since(call.since) => done("healthy", Consequence::Renew),
            E::ValidateService => {
                let complaint = self.health.complaint().unwrap_or_else(|| "waiting for a fresh probe".into());
                Judged::Wait(format!("waiting for the application: {complaint}"))
            }
            E::AfterAllowTraffic if !self.wanted.is_in() => {
                done("healthy; kept out of traffic for another reason", Consequence::Close(Ending::Succeeded))
            }
            E::AfterAllowTraffic => match self.is_healthy_in_balancer(now.at, call.since, actions) {
                Progress::There => done("healthy and in traffic", Consequence::Close(Ending::Succeeded)),
                Progress::Underway(sentence) => Judged::Wait(format!("waiting for the balancer: {sentence}")),
                Progress::Stuck(failure) => stuck(failure),
            },
        }
    }

    /// A leaving instance neither fails nor hangs the fleet's deployment: its hooks are answered at once. Only the
    /// hook that stands before the application's stop waits, unless the operator says otherwise, until what is in
    /// flight has ended: CodeDeploy stops the application as soon as it is answered. It waits no longer than the drain.
    fn judge_hook_of_leaving_instance(&mut self, now: Now, call: &Call, hook: &HookCall) -> Judged {
        let (verdict, sentence) = match self.settings.on_notice {
            OnNotice::Refuse => (Verdict::Refused, "leaving: this instance takes no deployment any more"),
            OnNotice::Finish => (Verdict::Done, "leaving: not returned to traffic"),
        };
        let stops_next = match hook.event {
            LifecycleEvent::ApplicationStop | LifecycleEvent::BeforeInstall => true,
            LifecycleEvent::BeforeBlockTraffic
            | LifecycleEvent::AfterBlockTraffic
            | LifecycleEvent::AfterInstall
            | LifecycleEvent::ApplicationStart
            | LifecycleEvent::ValidateService
            | LifecycleEvent::BeforeAllowTraffic
            | LifecycleEvent::AfterAllowTraffic => false,
        };
        let waits = match self.settings.before_stop {
            BeforeStop::Drain => stops_next && verdict == Verdict::Done,
            BeforeStop::Answer => false,
        };
        let drain_until = self.memory.leaving.as_ref().map_or(now.at, Leaving::drain_until);
        if waits && now.at < call.deadline.min(drain_until) {
            match self.is_out(now) {
                Progress::Underway(sentence) => {
                    self.asks.wake_no_later_than(drain_until);
                    return Judged::Wait(format!("leaving: {sentence}"));
                }
                Progress::There | Progress::Stuck(_) => {}
            }
        }
        // The notice may yet be withdrawn: until its last hook the deployment stays open, and keeps traffic out.
        let goes_on = verdict == Verdict::Done && !ends_deployment(hook.event);
        let consequence = if goes_on { Consequence::Renew } else { Consequence::Close(Ending::Left) };
        Judged::Answer(answer(verdict, sentence), consequence)
    }

    fn judge_operator(&mut self, now: Now, call: &Call, request: &OperatorRequest) -> Judged {
        match request {
            OperatorRequest::Out { .. } => self.judge_out(now, call),
            OperatorRequest::In { .. } => self.judge_in(now, call),
            OperatorRequest::Leave { waits, .. } => self.judge_leave(now, call, *waits),
        }
    }

    fn judge_out(&mut self, now: Now, call: &Call) -> Judged {
        if self.memory.hold.is_none() && self.memory.leaving.is_none() {
            let sentence = "no longer held: `pitcrew in` was called, or the time of this `pitcrew out` is over";
            return Judged::Answer(answer(Verdict::Failed, sentence), Consequence::None);
        }
        match self.is_out(now) {
            Progress::There => done(self.said_of_being_out(now, call), Consequence::None),
            Progress::Underway(sentence) => underway(now, call, sentence),
            Progress::Stuck(failure) => hopeless(failure),
        }
    }

    fn judge_in(&mut self, now: Now, call: &Call) -> Judged {
        let progress = match &self.wanted {
            Traffic::In => match self.health.complaint() {
                Some(complaint) if self.memory.is_out() => {
                    Progress::Underway(format!("waiting for the application: {complaint}"))
                }
                Some(_) | None => self.is_known_to_be_in(),
            },
            Traffic::Out(Why::Deploying(ids)) => {
                let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
                let sentence = format!("no longer held; traffic returns after deployment {}", ids.join(", "));
                return done(sentence, Consequence::None);
            }
            Traffic::Out(Why::Leaving(kind)) => {
                let sentence = format!("leaving ({kind}): this instance does not return to traffic");
                return Judged::Answer(answer(Verdict::Refused, sentence), Consequence::None);
            }
            Traffic::Out(Why::Held) => {
                let sentence = "held again by another `pitcrew out`";
                return Judged::Answer(answer(Verdict::Failed, sentence), Consequence::None);
            }
        };
        match progress {
            Progress::There => done("in traffic", Consequence::None),
            Progress::Underway(sentence) => underway(now, call, sentence),
            Progress::Stuck(failure) => hopeless(failure),
        }
    }

    fn judge_leave(&mut self, now: Now, call: &Call, waits: bool) -> Judged {
        let Some(leaving) = self.memory.leaving.clone() else {
            return Judged::Answer(answer(Verdict::Failed, "no longer leaving"), Consequence::None);
        };
        match leaving.stage {
            Stage::Done if leaving.skipped.is_empty() => done("left: out of traffic for good", Consequence::None),
            Stage::Done => {
                let sentence = format!("left, but {}", leaving.skipped.join("; "));
                Judged::Answer(answer(Verdict::Failed, sentence), Consequence::None)
            }
            Stage::Draining | Stage::Scripts | Stage::Tags | Stage::Release if !waits => {
                let left = Spoken(leaving.deadline.remaining(now.at));
                done(format!("leaving, within {left}"), Consequence::None)
            }
            Stage::Draining => match self.is_out(now) {
                Progress::There => underway(now, call, "out of traffic".into()),
                Progress::Underway(sentence) => underway(now, call, sentence),
                Progress::Stuck(failure) => underway(now, call, failure.sentence),
            },
            Stage::Scripts | Stage::Tags | Stage::Release => underway(now, call, leaving.stage.word().into()),
        }
    }
}

/// An operator's wish stands, whether or not somebody waits for it.
fn underway(now: Now, call: &Call, sentence: String) -> Judged {
    if now.at < call.deadline {
        return Judged::Wait(sentence);
    }
    let sentence = format!("not there yet: {sentence}; what was asked still stands");
    Judged::Answer(answer(Verdict::TimedOut, sentence), Consequence::None)
}

fn hopeless(failure: Failure) -> Judged {
    Judged::Answer(answer(Verdict::Misconfigured, failure.sentence), Consequence::None)
}

/// The last event of a deployment, or the last that matters to traffic.
fn ends_deployment(event: LifecycleEvent) -> bool {
    match event {
        LifecycleEvent::ValidateService | LifecycleEvent::AfterAllowTraffic => true,
        LifecycleEvent::BeforeBlockTraffic
        | LifecycleEvent::AfterBlockTraffic
        | LifecycleEvent::ApplicationStop
        | LifecycleEvent::BeforeInstall
        | LifecycleEvent::AfterInstall
        | LifecycleEvent::ApplicationStart
        | LifecycleEvent::BeforeAllowTraffic => false,
    }
}

/// How a hook of a deployment that ended here is answered; `None`: it is alive after all.
fn late(ended: &Ended, hook: &HookCall) -> Option<Answer> {
    match ended.how {
        Ending::AssumedDead | Ending::Left => None,
        Ending::Succeeded | Ending::SucceededUnheard if ends_deployment(hook.event) => {
            Some(answer(Verdict::Done, "this deployment already ended well here"))
        }
        Ending::Succeeded | Ending::SucceededUnheard | Ending::HookFailed | Ending::Dead | Ending::Superseded => {
            Some(answer(
                Verdict::Failed,
                format!(
                    "deployment {} already ended here ({}): traffic stays as it is",
                    ended.deployment,
                    ended.how.word()
                ),
            ))
        }
    }
}
