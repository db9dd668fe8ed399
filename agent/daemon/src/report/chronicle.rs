//! Tells what happened from what the engine hears, does and shows: to the metrics, and to the history.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pitcrew_core::ids::{CallId, DeploymentId, TargetGroupArn};
use pitcrew_core::lifecycle::LifecycleEvent as E;
use pitcrew_core::memory::Ending;
use pitcrew_core::notice::NoticeKind;
use pitcrew_core::time::{Instant, Now, WallTime, millis};
use pitcrew_core::view::{DeploymentView, View};
use pitcrew_core::wire::{Action, Answer, Event, HookCall, Moment, Owner, Target, Verdict};
use tracing::{info, warn};

use super::metrics::{Metrics, families as of};
use crate::history::{History, Phase, Record, Stretch, What};

/// Who tells.
#[derive(Debug)]
pub struct Chronicle {
    metrics: Metrics,
    history: History,
    before: Option<Arc<View>>,
    /// Hooks that wait for their answer.
    calls: BTreeMap<CallId, (HookCall, Instant)>,
    /// Deployments that are open.
    stories: BTreeMap<DeploymentId, Story>,
    /// Deployments that were told of.
    told: BTreeSet<(DeploymentId, WallTime)>,
    /// Targets that are to be out and are not drained yet.
    drains: BTreeMap<(TargetGroupArn, Target), Instant>,
    blind_since: Option<Instant>,
}

/// A deployment so far.
#[derive(Debug)]
struct Story {
    phases: Vec<Stretch>,
    phase: Phase,
    since: WallTime,
    why: Option<String>,
}

impl Chronicle {
    /// Tells these two.
    pub fn new(metrics: Metrics, history: History) -> Self {
        Self {
            metrics,
            history,
            before: None,
            calls: BTreeMap::new(),
            stories: BTreeMap::new(),
            told: BTreeSet::new(),
            drains: BTreeMap::new(),
            blind_since: None,
        }
    }

    /// What happened, the newest last.
    pub fn records(&self) -> Vec<Record> {
        self.history.records()
    }

    /// The engine hears something.
    pub fn event(&mut self, now: Now, event: &Event) {
        match event {
            Event::Started => {
                let version = env!("CARGO_PKG_VERSION").to_owned();
                self.record(now, What::AgentStarted { version });
            }
            Event::HookArrived { call, hook } => {
                self.calls.insert(*call, (hook.clone(), now.at));
            }
            Event::ProbeAnswered { probe, answer } => {
                let outcome = if answer.is_ok() { "good" } else { "bad" };
                self.metrics.count(&of::PROBE_ANSWERS, &[probe.as_str(), outcome]);
            }
            Event::NoticeSeen { notice } => {
                self.metrics.count(&of::NOTICES, &[notice.kind.word()]);
                if let Some(time) = notice.time {
                    let left = time.remaining(now.wall);
                    self.metrics.observe(&of::NOTICE_LEFT, &[notice.kind.word(), "noticed"], left);
                }
                self.record(now, What::NoticeSeen { notice: notice.clone() });
            }
            Event::NoticeWithdrawn { notice } => self.record(now, What::NoticeWithdrawn { kind: notice.kind }),
            Event::SightLost { why } => {
                self.metrics.blind(true);
                self.blind_since = Some(now.at);
                self.record(now, What::SightLost { why: why.clone() });
            }
            Event::SightRegained => {
                self.metrics.blind(false);
                if let Some(since) = self.blind_since.take() {
                    self.record(now, What::SightRegained { blind_ms: millis(now.at.since(since)) });
                }
            }
            Event::TimerElapsed
            | Event::OperatorAsked { .. }
            | Event::CallAbandoned { .. }
            | Event::OwnerLearned { .. }
            | Event::DeploymentLearned { .. }
            | Event::GroupsDiscovered { .. }
            | Event::GroupObserved { .. }
            | Event::Deregistered { .. }
            | Event::Registered { .. }
            | Event::ConnectionsCounted { .. }
            | Event::CommandsSeen { .. }
            | Event::AgentsSeen { .. }
            | Event::ReplacementAsked { .. }
            | Event::DrainScriptEnded { .. }
            | Event::DrainScriptsEnded { .. }
            | Event::TagsRemoved { .. }
            | Event::Released { .. }
            | Event::ElastigroupReplied { .. } => {}
        }
    }

    /// The engine does something.
    pub fn action(&mut self, now: Now, action: &Action) {
        match action {
            Action::Reply { call, answer } => self.answered(now, *call, answer),
            Action::Announce { moment: Moment::Left, why, sentence } => self.left(now, *why, false, sentence),
            Action::Announce { moment: Moment::LeftBadly, why, sentence } => self.left(now, *why, true, sentence),
            Action::Announce { moment: Moment::Noticed, .. }
            | Action::LearnOwner { .. }
            | Action::LearnDeployment { .. }
            | Action::DiscoverGroups
            | Action::ObserveGroup { .. }
            | Action::Deregister { .. }
            | Action::Register { .. }
            | Action::CountConnections { .. }
            | Action::Promise { .. }
            | Action::Retract { .. }
            | Action::Progress { .. }
            | Action::AskReplacement
            | Action::RunDrainScripts { .. }
            | Action::RemoveTags
            | Action::Release { .. }
            | Action::Elastigroup(_) => {}
        }
    }

    /// What must survive a crash was written down, or could not be.
    pub(crate) fn ledger_written(&self, good: bool) {
        self.metrics.count(&of::LEDGER_WRITES, &[if good { "ok" } else { "failed" }]);
    }

    /// This is how the instance is now.
    pub fn view(&mut self, now: Now, view: &Arc<View>) {
        let before = self.before.replace(view.clone());
        match &before {
            // What ended before this run was told by the run before.
            None => self.told.extend(view.ended.iter().map(|ended| (ended.deployment.clone(), ended.at))),
            Some(before) => self.probes(now, before, view),
        }
        for open in &view.deployments {
            self.go_on(now, view, open);
        }
        self.ends(now, view);
        self.drains(now, view);
        let state = before.as_ref().map(|before| before.state);
        if state != Some(view.state) {
            // Why it is so comes with a sentence of how far it has come; only the first is kept.
            let what = What::StateChanged { state: view.state, sentence: view.sentence.clone() };
            self.record(now, what);
        }
    }

    fn record(&self, now: Now, what: What) {
        self.history.add(Record { at: now.wall, what });
    }

    fn answered(&mut self, now: Now, call: CallId, answer: &Answer) {
        let Some((hook, since)) = self.calls.remove(&call) else { return };
        let took = now.at.since(since);
        let event = hook.event.name();
        self.metrics.count(&of::HOOK_CALLS, &[event, verdict(answer.verdict)]);
        self.metrics.observe(&of::HOOK_DURATION, &[event], took);
        if answer.verdict != Verdict::Done
            && let Some(story) = self.stories.get_mut(&hook.deployment)
        {
            story.why = Some(answer.sentence.clone());
        }
        self.record(
            now,
            What::HookAnswered {
                event: hook.event,
                deployment: hook.deployment,
                verdict: answer.verdict,
                sentence: answer.sentence.clone(),
                took_ms: millis(took),
            },
        );
    }

    fn left(&self, now: Now, why: NoticeKind, badly: bool, sentence: &str) {
        let word = if badly { "left-badly" } else { "left" };
        self.metrics.count(&of::LEAVES, &[word]);
        let left_ms = self.before.as_ref().and_then(|view| view.leaving_in_ms);
        if let Some(ms) = left_ms {
            self.metrics.observe(&of::NOTICE_LEFT, &[why.word(), word], Duration::from_millis(ms));
        }
        self.record(now, What::Left { why, badly, sentence: sentence.to_owned(), left_ms });
    }

    fn probes(&self, now: Now, before: &View, view: &View) {
        for probe in &view.probes {
            let was = before.probes.iter().find(|other| other.name == probe.name).and_then(|other| other.passing);
            match (was, probe.passing) {
                (Some(true) | None, Some(false)) => {
                    let reason = probe.reason.clone().unwrap_or_default();
                    self.record(now, What::ProbeFailed { probe: probe.name.clone(), reason });
                }
                (Some(false), Some(true)) => self.record(now, What::ProbePassed { probe: probe.name.clone() }),
                (None | Some(true), None | Some(true)) | (Some(false), None | Some(false)) => {}
            }
        }
    }

    fn go_on(&mut self, now: Now, view: &View, open: &DeploymentView) {
        let history = &self.history;
        let story = self.stories.entry(open.id.clone()).or_insert_with(|| Story::taken_up(open, history));
        story.reach(phase(view, open, story.phase), now.wall);
    }

    fn ends(&mut self, now: Now, view: &View) {
        let told = |told: &BTreeSet<_>, id: &DeploymentId, at| told.contains(&(id.clone(), at));
        for ended in view.ended.iter().filter(|ended| !told(&self.told, &ended.deployment, ended.at)) {
            let story = self.stories.remove(&ended.deployment);
            let (phases, why) = story.map_or_else(Default::default, |story| story.end(ended.at));
            for stretch in &phases {
                self.metrics.observe(&of::PHASES, &[stretch.phase.word()], Duration::from_millis(stretch.ms));
            }
            let outcome = ended.how.word();
            let (deployment, group) = (&ended.deployment, &ended.group);
            match ended.how {
                Ending::Succeeded | Ending::SucceededUnheard | Ending::Superseded | Ending::Left => {
                    info!(%deployment, %group, outcome, "deployment ended");
                }
                Ending::HookFailed | Ending::Dead | Ending::AssumedDead => {
                    warn!(name: "deployment_ended_badly", %deployment, %group, outcome, "deployment ended badly");
                }
            }
            self.metrics.count(&of::DEPLOYMENTS, &[outcome]);
            self.metrics.observe(&of::DEPLOYMENT_DURATION, &[outcome], ended.at.remaining(ended.opened));
            self.record(
                now,
                What::DeploymentEnded {
                    deployment: ended.deployment.clone(),
                    group: ended.group.clone(),
                    how: ended.how,
                    opened: ended.opened,
                    phases,
                    why,
                },
            );
        }
        self.told = view.ended.iter().map(|ended| (ended.deployment.clone(), ended.at)).collect();
        self.stories.retain(|id, _| view.deployments.iter().any(|open| open.id == *id));
    }

    fn drains(&mut self, now: Now, view: &View) {
        if view.wanted.is_in() {
            self.drains.clear();
            return;
        }
        for target in &view.targets {
            let key = (target.group.clone(), target.target.clone());
            match target.drained {
                None if target.balancer.is_some() => {
                    self.drains.entry(key).or_insert(now.at);
                }
                None => {}
                Some(end) => {
                    if let Some(since) = self.drains.remove(&key) {
                        self.metrics.observe(&of::DRAINS, &[end.word()], now.at.since(since));
                    }
                }
            }
        }
    }
}

impl Story {
    /// From its beginning; of one that began before this run, the history tells when the instance was out of traffic.
    fn taken_up(open: &DeploymentView, history: &History) -> Self {
        let mut story = Self { phases: Vec::new(), phase: Phase::Draining, since: open.opened, why: None };
        let is_out = |what: &What| {
            matches!(what, What::HookAnswered { event: E::ApplicationStop | E::BeforeInstall, deployment, verdict, .. }
                if *deployment == open.id && *verdict == Verdict::Done)
        };
        let out = history.records().into_iter().find(|record| is_out(&record.what));
        if let (Some(out), Owner::Pitcrew | Owner::Elastigroup) = (out, open.owner) {
            story.reach(Phase::Installing, out.at);
        }
        story
    }

    fn reach(&mut self, phase: Phase, at: WallTime) {
        if phase > self.phase {
            self.close(at);
            self.phase = phase;
            self.since = at;
        }
    }

    fn close(&mut self, at: WallTime) {
        self.phases.push(Stretch { phase: self.phase, ms: millis(at.remaining(self.since)) });
    }

    fn end(mut self, at: WallTime) -> (Vec<Stretch>, Option<String>) {
        self.close(at);
        (self.phases, self.why)
    }
}

/// How far an open deployment has come; never back.
fn phase(view: &View, open: &DeploymentView, reached: Phase) -> Phase {
    let phase = match open.owner {
        Owner::Pitcrew | Owner::Elastigroup if open.holds_traffic && view.settled => Phase::Installing,
        Owner::Pitcrew | Owner::Elastigroup if open.holds_traffic => Phase::Draining,
        Owner::Pitcrew | Owner::Elastigroup => Phase::Returning,
        Owner::CodeDeploy => match open.last_event {
            E::BeforeBlockTraffic | E::AfterBlockTraffic => Phase::Draining,
            E::ApplicationStop | E::BeforeInstall | E::AfterInstall | E::ApplicationStart | E::ValidateService => {
                Phase::Installing
            }
            E::BeforeAllowTraffic | E::AfterAllowTraffic => Phase::Returning,
        },
    };
    phase.max(reached)
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Done => "done",
        Verdict::Failed => "failed",
        Verdict::TimedOut => "timed-out",
        Verdict::Refused => "refused",
        Verdict::Misconfigured => "misconfigured",
    }
}

#[cfg(test)]
mod tests;
