//! What a hook is answered: the tables of DESIGN, one for each owner of traffic, and the rules of an instance that leaves.

use std::time::Duration;

use super::{Call, Consequence, Judged, answer, done};
use crate::asks::Ask;
use crate::core::Core;
use crate::leaving::Leaving;
use crate::lifecycle::LifecycleEvent;
use crate::memory::{Ended, Ending};
use crate::settings::{BeforeStop, OnNotice};
use crate::standing::Progress;
use crate::time::{Now, Spoken};
use crate::traffic::{Traffic, Why};
use crate::wire::{Action, Answer, Failure, HookCall, Owner, Verdict};

impl Core {
    pub(super) fn judge_hook(&mut self, now: Now, call: &Call, hook: &HookCall, actions: &mut Vec<Action>) -> Judged {
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
            Judged::Wait(_) | Judged::Promise { .. } | Judged::Answer(..) => judged,
        }
    }

    /// What a hook is told whose deployment is over here.
    pub(super) fn late_answer(&self, hook: &HookCall) -> Option<Answer> {
        if self.memory.leases.contains_key(&hook.deployment) {
            return None;
        }
        late(self.memory.ending(&hook.deployment)?, hook)
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

    pub(super) fn said_of_being_out(&self, now: Now, call: &Call) -> String {
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
                    // A new instance may wait for somebody who registers it.
                    let sentence = match self.groups.is_registered() {
                        true => format!("healthy and in traffic after {took}"),
                        false => format!("healthy after {took}; in no target group yet"),
                    };
                    done(sentence, Consequence::Close(Ending::Succeeded))
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
            E::BeforeBlockTraffic if self.is_registering(now.at) => {
                Judged::Wait("what is being registered comes before CodeDeploy's block".into())
            }
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

    /// A leaving instance neither fails nor hangs the fleet's deployment: its hooks are answered at once. CodeDeploy
    /// stops the application as soon as the hook before that ends, so this one is told its answer at once, and ends,
    /// unless the operator says otherwise, when nothing is in flight any more; with the drain at the latest.
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
        let until = self.memory.leaving.as_ref().map_or(now.at, Leaving::drain_until).min(call.deadline);
        if waits && now.at < until {
            match self.is_out(now) {
                Progress::Underway(drain) => {
                    let promised = format!("{sentence}; the application may stop when nothing is in flight");
                    let sentence = format!("leaving: {drain}");
                    return Judged::Promise { answer: answer(verdict, promised), until, sentence };
                }
                Progress::There | Progress::Stuck(_) => {}
            }
        }
        // The notice may yet be withdrawn: until its last hook the deployment stays open, and keeps traffic out. Where
        // CodeDeploy moves traffic, it puts the instance back after ValidateService.
        let owner = self.memory.leases.get(&hook.deployment).map(|lease| lease.owner);
        let puts_back = owner == Some(Owner::CodeDeploy) && hook.event == LifecycleEvent::ValidateService;
        let goes_on = verdict == Verdict::Done && (puts_back || !ends_deployment(hook.event));
        let consequence = if goes_on { Consequence::Renew } else { Consequence::Close(Ending::Left) };
        Judged::Answer(answer(verdict, sentence), consequence)
    }
}

fn stuck(failure: Failure) -> Judged {
    Judged::Answer(answer(Verdict::Misconfigured, failure.sentence), Consequence::Close(Ending::HookFailed))
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
