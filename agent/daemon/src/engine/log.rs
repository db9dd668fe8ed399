//! What the engine logs: each turn once, as an event with fields.

use std::collections::BTreeMap;
use std::time::Duration;

use pitcrew_core::elastigroup::{Order, Receipt, Reply};
use pitcrew_core::time::Spoken;
use pitcrew_core::view::View;
use pitcrew_core::wire::{Action, Event, Failure, Moment};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::is_good;

/// A trouble that comes and goes is said again when it has been gone for so long.
const SAID_AGAIN: Duration = Duration::from_secs(1800);

/// So many troubles are remembered: a sentence may have a number in it, and be another one each time.
const REMEMBERED: usize = 64;

/// Remembers what was said last, so that it is not said twice.
#[derive(Debug, Default)]
pub(super) struct Log {
    sentence: String,
    /// Troubles, and when each was seen last.
    troubles: BTreeMap<String, Instant>,
    /// The latest bad answer: the trouble in it needs no line of its own.
    answered: String,
    ledger: Option<String>,
}

impl Log {
    pub(super) fn event(&self, event: &Event) {
        match event {
            Event::HookArrived { hook, .. } => {
                info!(event = %hook.event, deployment = %hook.deployment, group = %hook.group, "hook called");
            }
            Event::OperatorAsked { request, .. } => info!(?request, "operator called"),
            Event::CallAbandoned { call } => info!(call = call.0, "caller went away"),
            Event::NoticeSeen { notice } => {
                warn!(name: "notice_seen", kind = %notice.kind, time = ?notice.time, "notice seen");
            }
            Event::NoticeWithdrawn { notice } => warn!(kind = %notice.kind, "notice withdrawn"),
            Event::Deregistered { group, answer } => changed("deregistered", group.short(), answer),
            Event::Registered { group, answer } => changed("registered", group.short(), answer),
            Event::OwnerLearned { group, answer: Ok(owner) } => info!(%group, ?owner, "owner of traffic learned"),
            Event::DeploymentLearned { deployment, answer: Ok(state) } => {
                info!(%deployment, ?state, "deployment asked after");
            }
            Event::ReplacementAsked { answer: Ok(who) } => warn!("replacement asked for: {who}"),
            Event::ReplacementAsked { answer: Err(failure) } => {
                warn!("no replacement could be asked for: {}", failure.sentence);
            }
            Event::DrainScriptEnded { name, how: Ok(how) } => info!(script = name, "drain.d/{name} {how}"),
            Event::DrainScriptEnded { name, how: Err(how) } => warn!(script = name, "drain.d/{name} {how}"),
            Event::DrainScriptsEnded { answer } => ended("drain.d has ended", answer),
            Event::TagsRemoved { answer } => ended("tags removed", answer),
            Event::Released { answer } => ended("released", answer),
            Event::ElastigroupReplied {
                order,
                answer: Ok(Reply::Signalled(Receipt { message: Some(message), .. })),
            } => warn!(?order, "Elastigroup took the signal, and says: {message}"),
            Event::ElastigroupReplied { order, answer: Ok(_) } if *order != Order::Look => {
                info!(?order, "Elastigroup did as it was asked");
            }
            Event::Started
            | Event::TimerElapsed
            | Event::SightLost { .. }
            | Event::SightRegained
            | Event::OwnerLearned { .. }
            | Event::DeploymentLearned { .. }
            | Event::CommandsSeen { .. }
            | Event::AgentsSeen { .. }
            | Event::GroupsDiscovered { .. }
            | Event::GroupObserved { .. }
            | Event::ConnectionsCounted { .. }
            // A failure is said as a trouble, once.
            | Event::ElastigroupReplied { .. }
            | Event::ProbeAnswered { .. } => debug!(?event, "heard"),
        }
    }

    pub(super) fn action(&mut self, action: &Action) {
        match action {
            Action::Deregister { group, targets } => info!(group = group.short(), ?targets, "deregistering"),
            Action::Register { group, targets } => info!(group = group.short(), ?targets, "registering"),
            Action::Reply { call, answer } if is_good(answer.verdict) => {
                info!(call = call.0, verdict = ?answer.verdict, "{}", answer.sentence);
            }
            Action::Reply { call, answer } => {
                warn!(call = call.0, verdict = ?answer.verdict, "{}", answer.sentence);
                self.answered.clone_from(&answer.sentence);
            }
            Action::Promise { call, answer, within } => {
                info!(call = call.0, verdict = ?answer.verdict, "{}, {} at most", answer.sentence, Spoken(*within));
            }
            Action::Retract { call } => info!(call = call.0, "what was promised is taken back"),
            Action::Announce { moment: Moment::LeftBadly, sentence, .. } => warn!(name: "left_badly", "{sentence}"),
            Action::Announce { moment: moment @ (Moment::Noticed | Moment::Left), sentence, .. } => {
                info!(?moment, "{sentence}");
            }
            Action::AskReplacement => warn!("asking for a replacement of this instance"),
            Action::RunDrainScripts { .. } => info!("running drain.d"),
            Action::Progress { .. }
            | Action::LearnOwner { .. }
            | Action::LearnDeployment { .. }
            | Action::DiscoverGroups
            | Action::ObserveGroup { .. }
            | Action::CountConnections { .. }
            | Action::RemoveTags
            | Action::Elastigroup(_)
            | Action::Release { .. } => debug!(?action, "doing"),
        }
    }

    /// What people see has changed: say so, and each new trouble once.
    pub(super) fn view(&mut self, view: &View) {
        if view.sentence != self.sentence {
            info!(state = view.state.word(), "{}", view.sentence);
            self.sentence.clone_from(&view.sentence);
        }
        let answered = std::mem::take(&mut self.answered);
        let now = Instant::now();
        let is_full = self.troubles.len() >= REMEMBERED;
        self.troubles.retain(|trouble, seen| {
            view.troubles.contains(trouble) || (!is_full && now.duration_since(*seen) < SAID_AGAIN)
        });
        for trouble in &view.troubles {
            let is_said = self.troubles.insert(trouble.clone(), now).is_some() || answered.contains(trouble.as_str());
            if !is_said {
                warn!("{trouble}");
            }
        }
    }

    pub(super) fn ledger_failed(&mut self, sentence: &str) {
        if self.ledger.as_deref() != Some(sentence) {
            warn!(name: "ledger_not_written", "{sentence}");
            self.ledger = Some(sentence.to_owned());
        }
    }

    pub(super) fn ledger_written(&mut self) {
        if self.ledger.take().is_some() {
            info!("the ledger is written again");
        }
    }
}

/// A failure is a trouble, and is told as such: see [`Log::view`].
fn ended(what: &'static str, answer: &Result<(), Failure>) {
    match answer {
        Ok(()) => info!("{what}"),
        Err(failure) => debug!(kind = ?failure.kind, "{}", failure.sentence),
    }
}

fn changed(what: &'static str, group: &str, answer: &Result<(), Failure>) {
    match answer {
        Ok(()) => info!(group, "{what}"),
        Err(failure) => debug!(group, kind = ?failure.kind, "{}", failure.sentence),
    }
}
