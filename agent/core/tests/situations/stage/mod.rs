//! A calm world around one core: every call takes 50 ms and works, unless the test says otherwise.

mod balancer;
mod outside;

use std::collections::BTreeMap;
use std::time::Duration;

use pitcrew_core::Core;
use pitcrew_core::elastigroup::{Declared, Life, Order};
use pitcrew_core::ids::{CallId, DeploymentGroup, DeploymentId, TargetGroupArn};
use pitcrew_core::lifecycle::LifecycleEvent;
use pitcrew_core::memory::Memory;
use pitcrew_core::notice::{Notice, NoticeKind};
use pitcrew_core::revision::Revision;
use pitcrew_core::settings::{Settings, Thresholds};
use pitcrew_core::time::{Instant, Now, WallTime};
use pitcrew_core::view::View;
use pitcrew_core::wire::{
    Action, Answer, DeploymentState, Event, HookCall, Observation, OperatorRequest, Owner, Target, Verdict,
};

pub(crate) use balancer::{Group, target};
pub(crate) use outside::{Api, Trouble};

const PROBE_EVERY: u64 = 1_000;
const EPOCH: u64 = 1_700_000_000_000;

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[derive(Debug)]
enum Due {
    Deliver(Event),
    Effect { group: TargetGroupArn, targets: Vec<Target>, register: bool },
}

pub(crate) struct Stage {
    settings: Settings,
    core: Core,
    now: u64,
    due: BTreeMap<(u64, u64), Due>,
    numbers: u64,
    next_probe: u64,
    replies: BTreeMap<CallId, (u64, Answer)>,
    promises: BTreeMap<CallId, (u64, Answer, Duration)>,
    said: BTreeMap<CallId, Vec<String>>,
    troubles: BTreeMap<Api, (u32, Trouble)>,
    pub(crate) groups: BTreeMap<TargetGroupArn, Group>,
    /// Open connections by port; `None`: cannot be counted.
    pub(crate) connections: BTreeMap<u16, Option<usize>>,
    pub(crate) app_is_well: bool,
    pub(crate) probes_answer: bool,
    pub(crate) patience: Duration,
    /// What CodeDeploy says of a deployment group's traffic.
    pub(crate) owner: Owner,
    /// What CodeDeploy says of deployments.
    pub(crate) deployments: BTreeMap<DeploymentId, DeploymentState>,
    pub(crate) actions: Vec<(u64, Action)>,
    pub(crate) announced: Vec<String>,
    /// What Elastigroup says of this instance, and its group of itself.
    pub(crate) life: Life,
    pub(crate) declared: Declared,
    /// CodeDeploy does not answer, until [`Stage::speak_up`].
    pub(crate) silent: bool,
    unanswered: Vec<Event>,
    /// What looks show, where they show what was.
    stale: BTreeMap<TargetGroupArn, Observation>,
    steps_at_once: u32,
}

impl Stage {
    /// Pitcrew moves traffic; the application has one probe.
    pub(crate) fn new() -> Self {
        Self::with(Settings { owner: Some(Owner::Pitcrew), ..Settings::default() })
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let settings = Settings { probes: BTreeMap::from([("app".into(), Thresholds::default())]), ..settings };
        let core = Core::new(settings.clone(), Memory::default(), Now::default());
        Self {
            settings,
            core,
            now: 0,
            due: BTreeMap::new(),
            numbers: 0,
            next_probe: 0,
            replies: BTreeMap::new(),
            promises: BTreeMap::new(),
            said: BTreeMap::new(),
            troubles: BTreeMap::new(),
            groups: BTreeMap::new(),
            connections: BTreeMap::new(),
            app_is_well: true,
            probes_answer: true,
            patience: secs(900),
            owner: Owner::Pitcrew,
            deployments: BTreeMap::new(),
            actions: Vec::new(),
            announced: Vec::new(),
            life: Life::Active,
            declared: Declared::default(),
            silent: false,
            unanswered: Vec::new(),
            stale: BTreeMap::new(),
            steps_at_once: 0,
        }
    }

    /// The agent has been up for a while, so that nothing of its start is left to do.
    pub(crate) fn running(mut self) -> Self {
        self.step(Event::Started);
        self.pass(secs(70));
        self
    }

    pub(crate) fn now(&self) -> Now {
        Now { at: Instant(self.now), wall: WallTime(EPOCH + self.now) }
    }

    // What happens.

    /// Deployments of one group have the same beginning: `d-1` and `d-1-rollback`.
    pub(crate) fn hook(&mut self, deployment: &str, event: LifecycleEvent) -> CallId {
        let call = self.next_call();
        let name = if deployment.starts_with("d-1") { "prod" } else { deployment };
        let group = DeploymentGroup { application: "web".into(), name: name.into() };
        let (deployment, revision, patience) = (deployment.into(), Revision::default(), self.patience);
        let hook = HookCall { event, deployment, group, revision, patience };
        self.step(Event::HookArrived { call, hook });
        call
    }

    /// A hook, and its answer.
    pub(crate) fn run(&mut self, deployment: &str, event: LifecycleEvent) -> Answer {
        let call = self.hook(deployment, event);
        self.wait(call).1
    }

    pub(crate) fn operator(&mut self, request: OperatorRequest) -> CallId {
        let call = self.next_call();
        self.step(Event::OperatorAsked { call, request });
        call
    }

    pub(crate) fn out(&mut self, ttl: Option<Duration>) -> CallId {
        self.operator(OperatorRequest::Out { ttl, patience: secs(60) })
    }

    pub(crate) fn back_in(&mut self) -> CallId {
        self.operator(OperatorRequest::In { patience: secs(60) })
    }

    pub(crate) fn abandon(&mut self, call: CallId) {
        self.step(Event::CallAbandoned { call });
    }

    pub(crate) fn notice(&mut self, kind: NoticeKind, within: Option<Duration>) -> Notice {
        let time = within.map(|within| WallTime(EPOCH + self.now + within.as_millis() as u64));
        let notice = Notice { kind, time };
        self.step(Event::NoticeSeen { notice: notice.clone() });
        notice
    }

    pub(crate) fn withdraw(&mut self, notice: Notice) {
        self.step(Event::NoticeWithdrawn { notice });
    }

    /// CodeDeploy gives the answers that it kept.
    pub(crate) fn speak_up(&mut self) {
        self.silent = false;
        for event in std::mem::take(&mut self.unanswered) {
            self.deliver(event);
        }
    }

    /// The agent is killed and starts again; answers under way are lost.
    pub(crate) fn restart(&mut self) {
        let written = serde_json::to_string(self.core.memory()).unwrap();
        let memory = serde_json::from_str(&written).unwrap();
        self.due.retain(|_, due| match due {
            Due::Deliver(_) => false,
            Due::Effect { .. } => true,
        });
        self.core = Core::new(self.settings.clone(), memory, self.now());
        self.step(Event::Started);
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time.as_millis() as u64;
        while self.next_moment() <= end {
            self.advance();
        }
        self.now = end;
    }

    /// Waits for a call's answer; says how long it took since now.
    pub(crate) fn wait(&mut self, call: CallId) -> (Duration, Answer) {
        let began = self.now;
        while self.now < began + 7_200_000 {
            if let Some((at, answer)) = self.replies.get(&call) {
                return (Duration::from_millis(at.saturating_sub(began)), answer.clone());
            }
            self.advance();
        }
        panic!("no answer within two hours; the last that was said: {:?}", self.said(call));
    }

    // What is seen.

    pub(crate) fn answer(&self, call: CallId) -> Option<&Answer> {
        self.replies.get(&call).map(|(_, answer)| answer)
    }

    /// When a call was last told how it would end, how, and within what time; `None`: that was taken back.
    pub(crate) fn promise(&self, call: CallId) -> Option<&(u64, Answer, Duration)> {
        self.promises.get(&call)
    }

    pub(crate) fn said(&self, call: CallId) -> &[String] {
        self.said.get(&call).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn memory(&self) -> &Memory {
        self.core.memory()
    }

    pub(crate) fn view(&mut self) -> View {
        let now = self.now();
        self.core.view(now)
    }

    pub(crate) fn sentence(&mut self) -> String {
        self.view().sentence
    }

    pub(crate) fn deregistered(&self) -> usize {
        self.actions.iter().filter(|(_, action)| matches!(action, Action::Deregister { .. })).count()
    }

    pub(crate) fn registered(&self) -> usize {
        self.actions.iter().filter(|(_, action)| matches!(action, Action::Register { .. })).count()
    }

    pub(crate) fn observed(&self) -> usize {
        self.actions.iter().filter(|(_, action)| matches!(action, Action::ObserveGroup { .. })).count()
    }

    /// What Elastigroup was asked for, without the questions.
    pub(crate) fn orders(&self) -> Vec<Order> {
        let orders = self.actions.iter().filter_map(|(_, action)| match action {
            Action::Elastigroup(order) if !matches!(order, Order::Look | Order::ReadGroup) => Some(order.clone()),
            _ => None,
        });
        orders.collect()
    }

    // How it works.

    fn next_call(&mut self) -> CallId {
        self.numbers += 1;
        CallId(self.numbers)
    }

    fn next_moment(&self) -> u64 {
        let wake = self.core.wake_at().map_or(u64::MAX, |at| at.0.max(self.now));
        let due = self.due.keys().next().map_or(u64::MAX, |(at, _)| *at);
        wake.min(due).min(self.next_probe)
    }

    fn advance(&mut self) {
        let moment = self.next_moment();
        self.steps_at_once = if moment == self.now { self.steps_at_once + 1 } else { 0 };
        assert!(self.steps_at_once < 1000, "wakes up again and again at {moment} ms");
        self.now = moment;
        if self.next_probe <= self.now {
            self.next_probe = self.now + PROBE_EVERY;
            if self.probes_answer {
                let answer = if self.app_is_well { Ok(()) } else { Err("connection refused".to_owned()) };
                self.step(Event::ProbeAnswered { probe: "app".into(), answer });
            }
        } else if let Some(due) = self.due.first_entry().filter(|due| due.key().0 <= self.now).map(|due| due.remove()) {
            match due {
                Due::Deliver(event) => self.step(event),
                Due::Effect { group, targets, register } => self.change(&group, targets, register),
            }
        } else {
            self.step(Event::TimerElapsed);
        }
    }

    pub(crate) fn step(&mut self, event: Event) {
        let now = self.now();
        for action in self.core.step(now, event) {
            self.actions.push((self.now, action.clone()));
            self.carry_out(action);
        }
    }
}

#[track_caller]
pub(crate) fn assert_done(answer: &Answer) {
    assert_eq!(answer.verdict, Verdict::Done, "{}", answer.sentence);
}

#[track_caller]
pub(crate) fn assert_says(sentence: &str, part: &str) {
    assert!(sentence.contains(part), "`{sentence}` does not say `{part}`");
}
