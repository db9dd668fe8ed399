//! The one state machine: takes an event in, brings the world closer to what is wanted, answers who waits.

use std::collections::{BTreeMap, BTreeSet};

use crate::asks::{Ask, Asks};
use crate::calls::Call;
use crate::commands::Commands;
use crate::elastigroup::Watched;
use crate::groups::Groups;
use crate::health::Health;
use crate::ids::{CallId, TargetGroupArn};
use crate::memory::{Change, Memory, TakenOut};
use crate::notice::{Notice, NoticeKind};
use crate::settings::Settings;
use crate::time::{Instant, Now};
use crate::traffic::{Traffic, wanted};
use crate::wire::{Action, Event, HostAgent};

/// Decides. Holds what must be remembered ([`Memory`]) and what a restart learns again.
#[derive(Clone, Debug)]
pub struct Core {
    pub(crate) settings: Settings,
    pub(crate) memory: Memory,
    pub(crate) groups: Groups,
    /// What was remembered of a group before the change that is under way: one that is refused never was.
    pub(crate) before_change: BTreeMap<TargetGroupArn, Option<TakenOut>>,
    pub(crate) health: Health,
    pub(crate) calls: BTreeMap<CallId, Call>,
    pub(crate) asks: Asks,
    pub(crate) commands: Commands,
    pub(crate) wanted: Traffic,
    /// Observations older than this say nothing about what is wanted now.
    pub(crate) wanted_since: Instant,
    /// Advice that stands: the risk of an interruption is elevated.
    pub(crate) advice: Option<Notice>,
    /// Every registration drains, and nobody here asked for that.
    pub(crate) drained_by_others: bool,
    /// Since when no notice could be heard, and why.
    pub(crate) blind: Option<(Now, String)>,
    /// Last words that were taken in this run.
    pub(crate) said: BTreeSet<Ask>,
    pub(crate) scripts_ended: bool,
    /// What Elastigroup said in this run.
    pub(crate) watched: Watched,
    /// The agents of AWS on this host.
    pub(crate) host_agents: Vec<HostAgent>,
}

impl Core {
    /// Takes up where `memory` left off. Nothing is done until the first [`Core::step`].
    pub fn new(settings: Settings, mut memory: Memory, now: Now) -> Self {
        memory.wake_up(&settings);
        let health = Health::new(&settings.probes, now.at);
        let asks = Asks::new(settings.seed);
        let wanted = wanted(&memory);
        Self {
            settings,
            memory,
            groups: Groups::default(),
            before_change: BTreeMap::new(),
            health,
            calls: BTreeMap::new(),
            asks,
            commands: Commands::default(),
            wanted,
            wanted_since: now.at,
            advice: None,
            drained_by_others: false,
            blind: None,
            said: BTreeSet::new(),
            scripts_ended: false,
            watched: Watched::default(),
            host_agents: Vec::new(),
        }
    }

    /// Takes one event in and says what to do. The memory may have changed: it must be on disk before any of the
    /// actions is carried out.
    pub fn step(&mut self, now: Now, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        self.asks.sleep();
        self.take(now, event, &mut actions);
        self.asks.hurry(self.memory.leaving.as_ref().is_some_and(|leaving| now.at < leaving.deadline));
        self.expire(now);
        // Each round answers at least one call, or is the last. Answered first: a deployment that ends here and now takes
        // nothing out any more.
        loop {
            self.settle_wanted(now.at);
            if !self.answer_calls(now, &mut actions) {
                break;
            }
        }
        self.reconcile(now, &self.wanted.clone(), &mut actions);
        self.mind_elastigroup(now, &mut actions);
        self.watch_suspect(now, &mut actions);
        self.advance_leaving(now, &mut actions);
        // Whoever waits for the end hears of it with the end.
        while self.has_left() && self.answer_calls(now, &mut actions) {}
        actions
    }

    /// What must survive a crash.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// When to step again, with [`Event::TimerElapsed`], if nothing happens before. There is always such a moment
    /// while anything is waited for.
    pub fn wake_at(&self) -> Option<Instant> {
        self.asks.wake_at()
    }

    fn take(&mut self, now: Now, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Started | Event::TimerElapsed => {}
            Event::HookArrived { call, hook } => self.hook_arrived(now, call, hook),
            Event::OperatorAsked { call, request } => self.operator_asked(now, call, request, actions),
            Event::CallAbandoned { call } => self.call_abandoned(now, call, actions),
            Event::OwnerLearned { group, answer } => {
                self.asks.answered(&Ask::Owner(group.clone()), now.at, answer.as_ref().err());
                if let Ok(owner) = answer {
                    self.owner_learned(now, &group, owner);
                }
            }
            Event::DeploymentLearned { deployment, answer } => {
                self.asks.answered(&Ask::Deployment(deployment.clone()), now.at, answer.as_ref().err());
                self.deployment_learned(now, &deployment, answer);
            }
            Event::AgentsSeen { agents } => self.host_agents = agents,
            Event::CommandsSeen { executing } => self.commands_seen(now, executing),
            Event::ReplacementAsked { answer } => {
                self.asks.answered(&Ask::Replacement, now.at, answer.as_ref().err());
            }
            Event::GroupsDiscovered { answer } => {
                let asked = self.asks.answered(&Ask::Discover, now.at, answer.as_ref().err());
                if let (Some(asked), Ok(groups)) = (asked, answer) {
                    let out_since = (!self.wanted.is_in()).then_some(self.wanted_since);
                    self.groups.discovered(asked, groups, out_since);
                }
            }
            Event::GroupObserved { group, answer } => {
                self.group_observed(now.at, &group, answer);
                self.notice_foreign_drain(now, actions);
            }
            Event::Deregistered { group, answer } => self.changed(now.at, &group, Change::Deregistered, answer),
            Event::Registered { group, answer } => self.changed(now.at, &group, Change::Registered, answer),
            Event::ConnectionsCounted { counts } => {
                self.asks.answered(&Ask::Connections, now.at, None);
                self.groups.counted(&counts, now.at);
            }
            Event::ProbeAnswered { probe, answer } => self.health.answered(&probe, answer, now.at),
            Event::NoticeSeen { notice } if notice.kind == NoticeKind::Elastigroup => self.detach_seen(now, actions),
            Event::NoticeSeen { notice } => self.notice_seen(now, notice, actions),
            Event::NoticeWithdrawn { notice } => self.notice_withdrawn(&notice),
            Event::SightLost { why } => self.blind = Some((now, why)),
            Event::SightRegained => self.blind = None,
            Event::DrainScriptEnded { name, how } => self.script_ended(name, how),
            Event::DrainScriptsEnded { answer } => self.scripts_ended(now.at, answer),
            Event::TagsRemoved { answer } => self.last_word_said(now.at, Ask::RemoveTags, answer),
            Event::Released { answer } => self.last_word_said(now.at, Ask::Release, answer),
            Event::ElastigroupReplied { order, answer } => self.elastigroup_replied(now, &order, answer, actions),
        }
    }

    /// What ends by time alone.
    fn expire(&mut self, now: Now) {
        if let Some(until) = self.memory.hold.and_then(|hold| hold.until) {
            if until <= now.at {
                self.memory.hold = None;
            } else {
                self.asks.wake_no_later_than(until);
            }
        }
    }

    fn settle_wanted(&mut self, now: Instant) {
        let wanted = wanted(&self.memory);
        if wanted.is_in() != self.wanted.is_in() {
            self.wanted_since = now;
            self.look_afresh();
        }
        self.wanted = wanted;
    }

    /// What nothing has mended yet, for people.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let blind = self.blind.iter().map(|(_, why)| format!("no notice can be heard: {why}"));
        let drained = self.drained_by_others.then(|| {
            "every target group drains this instance, and nothing here asked for that: it is being replaced, or moved by \
             hand"
                .to_owned()
        });
        let suspect = self.said_of_suspect();
        blind
            .chain(drained)
            .chain(suspect)
            .chain(self.host_agents.iter().filter_map(|agent| agent.trouble.clone()))
            .chain(self.asks.troubles().map(|(_, failure)| failure.sentence.clone()))
            .collect()
    }
}
