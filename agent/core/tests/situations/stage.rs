//! A calm world around one core: every call takes 50 ms and works, unless the test says otherwise.

use std::collections::BTreeMap;
use std::time::Duration;

use pitcrew_core::Core;
use pitcrew_core::elastigroup::{Declared, Life, Order, Receipt, Reply};
use pitcrew_core::ids::{CallId, DeploymentGroup, DeploymentId, TargetGroupArn};
use pitcrew_core::lifecycle::LifecycleEvent;
use pitcrew_core::memory::Memory;
use pitcrew_core::notice::{Notice, NoticeKind};
use pitcrew_core::revision::Revision;
use pitcrew_core::settings::{Settings, Thresholds};
use pitcrew_core::time::{Instant, Now, WallTime};
use pitcrew_core::view::View;
use pitcrew_core::wire::{
    Action, Answer, DeploymentState, Event, Failure, FailureKind, GroupFacts, HookCall, Observation, OperatorRequest,
    Owner, Target, TargetState, Verdict,
};

const LATENCY: u64 = 50;
const PROBE_EVERY: u64 = 1_000;
/// The balancer's checks take so long to find a registered target healthy.
const UNTIL_HEALTHY: u64 = 3_000;
const EPOCH: u64 = 1_700_000_000_000;

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) fn target(port: u16) -> Target {
    Target { id: "i-1".into(), port, zone: None }
}

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

#[derive(Debug)]
enum Registration {
    Registered { since: u64 },
    Draining { until: u64 },
}

/// A target group of the stage.
#[derive(Debug)]
pub(crate) struct Group {
    registrations: BTreeMap<Target, Registration>,
    delay: Duration,
    pub(crate) peers: usize,
    pub(crate) healthy_peers: usize,
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

    /// Adds a group that holds this instance at `ports`, beside one healthy peer; 300 s deregistration delay.
    pub(crate) fn group(mut self, name: &str, ports: &[u16]) -> Self {
        let registrations = ports.iter().map(|port| (target(*port), Registration::Registered { since: 0 })).collect();
        let group = Group { registrations, delay: secs(300), peers: 1, healthy_peers: 1 };
        self.groups.insert(name.into(), group);
        self
    }

    pub(crate) fn delay(mut self, delay: Duration) -> Self {
        self.groups.values_mut().for_each(|group| group.delay = delay);
        self
    }

    pub(crate) fn peers(mut self, peers: usize, healthy: usize) -> Self {
        for group in self.groups.values_mut() {
            (group.peers, group.healthy_peers) = (peers, healthy);
        }
        self
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

    /// Somebody else registers this instance.
    pub(crate) fn put_back(&mut self, group: &str, port: u16) {
        let since = self.now;
        self.at(group).registrations.insert(target(port), Registration::Registered { since });
    }

    /// Somebody else, or CodeDeploy, deregisters this instance.
    pub(crate) fn take_away(&mut self, group: &str, port: u16) {
        self.at(group).registrations.remove(&target(port));
    }

    /// The same, and the group still shows the target while it drains.
    pub(crate) fn drain_away(&mut self, group: &str, port: u16) {
        let until = self.now + self.at(group).delay.as_millis() as u64;
        self.at(group).registrations.insert(target(port), Registration::Draining { until });
    }

    pub(crate) fn trouble(&mut self, api: Api, times: u32, trouble: Trouble) {
        self.troubles.insert(api, (times, trouble));
    }

    pub(crate) fn fail(&mut self, api: Api, times: u32, kind: FailureKind) {
        self.trouble(api, times, Trouble::Fails(kind));
    }

    pub(crate) fn mend(&mut self, api: Api) {
        self.troubles.remove(&api);
    }

    /// From now on looks show what is now, whatever changes, until [`Stage::looks_catch_up`].
    pub(crate) fn looks_fall_behind(&mut self) {
        let (now, well) = (self.now, self.app_is_well);
        self.stale = self.groups.iter().map(|(arn, group)| (arn.clone(), group.observe(now, well))).collect();
    }

    pub(crate) fn looks_catch_up(&mut self) {
        self.stale.clear();
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

    pub(crate) fn at(&mut self, group: &str) -> &mut Group {
        self.groups.get_mut(&group.into()).unwrap()
    }

    pub(crate) fn ports_in(&self, group: &str) -> Vec<u16> {
        let registered = |registration: &Registration| match registration {
            Registration::Registered { .. } => true,
            Registration::Draining { .. } => false,
        };
        let group = &self.groups[&group.into()];
        group.registrations.iter().filter(|(_, r)| registered(r)).map(|(target, _)| target.port).collect()
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

    fn carry_out(&mut self, action: Action) {
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

    /// What Elastigroup was asked for, without the questions.
    pub(crate) fn orders(&self) -> Vec<Order> {
        let orders = self.actions.iter().filter_map(|(_, action)| match action {
            Action::Elastigroup(order) if !matches!(order, Order::Look | Order::ReadGroup) => Some(order.clone()),
            _ => None,
        });
        orders.collect()
    }

    fn deliver(&mut self, event: Event) {
        self.schedule(LATENCY, Due::Deliver(event));
    }

    /// CodeDeploy answers, or keeps it to itself for now.
    fn say(&mut self, event: Event) {
        if self.silent { self.unanswered.push(event) } else { self.deliver(event) }
    }

    fn schedule(&mut self, after: u64, due: Due) {
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

    fn change(&mut self, group: &TargetGroupArn, targets: Vec<Target>, register: bool) {
        let now = self.now;
        let Some(group) = self.groups.get_mut(group) else { return };
        let until = now + group.delay.as_millis() as u64;
        for target in targets {
            match group.registrations.get(&target) {
                Some(Registration::Registered { .. }) if register => {}
                Some(Registration::Registered { .. }) => {
                    group.registrations.insert(target, Registration::Draining { until });
                }
                Some(Registration::Draining { .. }) | None if register => {
                    group.registrations.insert(target, Registration::Registered { since: now });
                }
                Some(Registration::Draining { .. }) | None => {}
            }
        }
    }
}

impl Group {
    fn observe(&self, now: u64, app_is_well: bool) -> Observation {
        let state = |registration: &Registration| match registration {
            Registration::Draining { until } => (*until > now).then_some(TargetState::Draining),
            Registration::Registered { since } if *since > 0 && *since + UNTIL_HEALTHY > now => {
                Some(TargetState::Initial)
            }
            Registration::Registered { .. } if app_is_well => Some(TargetState::Healthy),
            Registration::Registered { .. } => Some(TargetState::Unhealthy("Target.FailedHealthChecks".into())),
        };
        let own = self.registrations.iter().filter_map(|(target, r)| Some((target.clone(), state(r)?))).collect();
        Observation { own, peers: self.peers, healthy_peers: self.healthy_peers }
    }
}

fn failure(api: Api, kind: FailureKind) -> Failure {
    Failure { kind, sentence: format!("{api:?} failed: {kind:?}") }
}

#[track_caller]
pub(crate) fn assert_done(answer: &Answer) {
    assert_eq!(answer.verdict, Verdict::Done, "{}", answer.sentence);
}

#[track_caller]
pub(crate) fn assert_says(sentence: &str, part: &str) {
    assert!(sentence.contains(part), "`{sentence}` does not say `{part}`");
}
