//! The world around one core: carries out its actions under a scenario, on a clock of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use pitcrew_core::ids::{CallId, DeploymentGroup, TargetGroupArn};
use pitcrew_core::lifecycle::LifecycleEvent as E;
use pitcrew_core::memory::Memory;
use pitcrew_core::notice::{Notice, NoticeKind};
use pitcrew_core::settings::{OnNotice, Settings, Thresholds};
use pitcrew_core::time::{Instant, Now, WallTime};
use pitcrew_core::wire::{
    Action, Event, Failure, FailureKind, GroupFacts, HookCall, Observation, OperatorRequest, Owner, Target,
};

use crate::balancer::{By, Group};
use crate::codedeploy::Deployment;
use crate::invariants::{Broken, Invariant};
use crate::sabotage::{Mind, Sabotage};
use crate::scenario::{Api, CALM, How, Scenario, Turn};

/// Everything must be where it belongs so long after the last trouble.
const END: u64 = CALM + 1_200_000;
const PROBE_EVERY: u64 = 2_000;
const EPOCH: u64 = 1_700_000_000_000;

pub type Checked = Result<(), Broken>;

/// Who waits for an answer, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub deadline: u64,
    /// The deployment whose hook it is; `None`: an operator.
    pub hook: Option<(usize, E)>,
}

#[derive(Debug)]
enum Happening {
    Start,
    Probe,
    Turn(usize),
    Calm,
    /// A request of ours reaches the other side.
    Arrives {
        run: u32,
        action: Action,
        answer_after: Option<u64>,
    },
    Answer {
        run: u32,
        event: Event,
    },
    ApplicationUp,
    NextHook {
        deployment: usize,
    },
    GiveUp {
        deployment: usize,
        at: usize,
    },
    Stop {
        deployment: usize,
        at: usize,
    },
}

pub struct World<'a> {
    pub scenario: &'a Scenario,
    pub settings: Settings,
    sabotage: Option<Sabotage>,
    /// `None`: the agent is down.
    mind: Option<Mind>,
    pub memory: Memory,
    written: Now,
    pub run: u32,
    pub t: u64,
    /// When this boot began.
    boot: u64,
    reboots: bool,
    queue: BTreeMap<(u64, u64), Happening>,
    serial: u64,
    random: u64,
    pub groups: Vec<Group>,
    application: Vec<(u64, bool)>,
    down_until: u64,
    /// An open deployment has stopped the application.
    pub stopped: bool,
    /// Group, port, and from when to when.
    requests: Vec<(usize, u16, u64, u64)>,
    pub deployments: Vec<Deployment>,
    crash: Option<(bool, usize, u64)>,
    under_way: usize,
    pub calls: BTreeMap<CallId, Caller>,
    pub seen: BTreeMap<usize, Observation>,
    standing: Vec<Notice>,
    steps_at_once: u32,
    pub steps: usize,
    pub trace: Option<Vec<String>>,
}

impl<'a> World<'a> {
    pub fn new(scenario: &'a Scenario, sabotage: Option<Sabotage>, traced: bool) -> Self {
        let settings = Settings {
            owner: (!scenario.auto_owner).then_some(Owner::Pitcrew),
            on_notice: if scenario.refuse_on_notice { OnNotice::Refuse } else { OnNotice::Finish },
            return_when_withdrawn: scenario.return_when_withdrawn,
            assume_dead_after: Duration::from_secs(600),
            probes: BTreeMap::from([("app".into(), Thresholds::default())]),
            seed: scenario.seed,
            remove_tags: true,
            ..Settings::default()
        };
        let owner = |owner| if scenario.auto_owner { owner } else { Owner::Pitcrew };
        let mut world = Self {
            scenario,
            settings,
            sabotage,
            mind: None,
            memory: Memory::default(),
            written: Now::default(),
            run: 0,
            t: 0,
            boot: 0,
            reboots: false,
            queue: BTreeMap::new(),
            serial: 0,
            random: scenario.seed,
            groups: scenario.groups.iter().map(Group::new).collect(),
            application: vec![(0, true)],
            down_until: 0,
            stopped: false,
            requests: Vec::new(),
            deployments: scenario.deployments.iter().map(|plan| Deployment::new(plan, owner(plan.owner))).collect(),
            crash: None,
            under_way: 0,
            calls: BTreeMap::new(),
            seen: BTreeMap::new(),
            standing: Vec::new(),
            steps_at_once: 0,
            steps: 0,
            trace: traced.then(Vec::new),
        };
        world.at(0, Happening::Start);
        world.at(0, Happening::Probe);
        world.at(CALM, Happening::Calm);
        for (n, (t, _)) in scenario.turns.iter().enumerate() {
            world.at(*t, Happening::Turn(n));
        }
        for (deployment, plan) in scenario.deployments.iter().enumerate() {
            world.at(plan.start, Happening::NextHook { deployment });
        }
        world
    }

    /// Plays the scenario to its end; an error names the invariant that was broken.
    pub fn play(&mut self) -> Checked {
        loop {
            let wake = self.mind.as_ref().and_then(Mind::wake_at).map_or(u64::MAX, |at| self.boot + at.0);
            let due = self.queue.keys().next().map_or(u64::MAX, |(t, _)| *t);
            let next = wake.max(self.t).min(due);
            self.steps_at_once = if next == self.t { self.steps_at_once + 1 } else { 0 };
            self.hold(Invariant::Lives, self.steps_at_once < 1000, || "steps for ever at one moment".into())?;
            self.t = next;
            if self.t > CALM && self.is_at_rest() {
                return Ok(());
            }
            if self.t > END {
                return self.check_end();
            }
            if due <= wake
                && let Some((_, happening)) = self.queue.pop_first()
            {
                self.happen(happening)?;
            } else {
                self.step(Event::TimerElapsed)?;
            }
        }
    }

    fn is_at_rest(&self) -> bool {
        let quiet = self.queue.values().all(|happening| match happening {
            Happening::Arrives { action, .. } => !matches!(action, Action::Register { .. } | Action::Deregister { .. }),
            Happening::Start | Happening::Turn(_) | Happening::Calm | Happening::NextHook { .. } => false,
            Happening::ApplicationUp | Happening::Stop { .. } => false,
            Happening::Probe | Happening::Answer { .. } | Happening::GiveUp { .. } => true,
        });
        quiet && self.mind.is_some() && self.calls.is_empty() && self.check_end().is_ok()
    }

    pub fn now(&self) -> Now {
        Now { at: Instant(self.t - self.boot), wall: WallTime(EPOCH + self.t) }
    }

    pub fn is_up(&self) -> bool {
        self.mind.is_some()
    }

    /// The core has a way to go on.
    pub fn is_alive(&self) -> bool {
        self.under_way > 0 || self.mind.as_ref().is_some_and(|mind| mind.wake_at().is_some())
    }

    pub fn app_is_up(&self, t: u64) -> bool {
        self.application.iter().rev().find(|(since, _)| *since <= t).is_none_or(|(_, up)| *up)
    }

    /// Whether a connection of this group was open on `port` at any time between the two.
    pub fn was_open(&self, group: usize, port: u16, from: u64, to: u64) -> bool {
        let mut requests = self.requests.iter().filter(|(g, p, ..)| (*g, *p) == (group, port));
        requests.any(|(.., begin, end)| *begin < to && *end > from)
    }

    fn at(&mut self, t: u64, happening: Happening) {
        self.serial += 1;
        self.queue.insert((t, self.serial), happening);
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below.max(1)
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        let t = self.t;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>9.3} {}", t as f64 / 1000.0, line()));
        }
    }

    fn happen(&mut self, happening: Happening) -> Checked {
        match happening {
            Happening::Start => self.start(),
            Happening::Probe => {
                self.at(self.t + PROBE_EVERY, Happening::Probe);
                let answer = if self.app_is_up(self.t) { Ok(()) } else { Err("connection refused".to_owned()) };
                self.step(Event::ProbeAnswered { probe: "app".into(), answer })
            }
            Happening::Turn(n) => self.turn(self.scenario.turns[n].1.clone()),
            Happening::Calm => self.calm(),
            Happening::Arrives { run, action, answer_after } => {
                self.arrives(run, action, answer_after);
                Ok(())
            }
            Happening::Answer { run, event } if run == self.run => {
                self.under_way = self.under_way.saturating_sub(1);
                if let Event::GroupObserved { group, answer: Ok(observation) } = &event {
                    self.seen.insert(number(group), observation.clone());
                }
                self.step(event)
            }
            Happening::Answer { .. } => Ok(()),
            Happening::ApplicationUp => {
                self.stopped = false;
                self.look_at_application();
                Ok(())
            }
            Happening::NextHook { deployment } => self.next_hook(deployment),
            Happening::GiveUp { deployment, at } => {
                if self.deployments[deployment].is_calling(at) {
                    self.deployment_over(deployment, false);
                }
                Ok(())
            }
            Happening::Stop { deployment, at } => {
                if !self.deployments[deployment].is_calling(at) {
                    return Ok(());
                }
                self.deployment_over(deployment, false);
                let call = self.calls.iter().find(|(_, caller)| caller.hook.is_some_and(|(d, _)| d == deployment));
                match call.map(|(call, _)| *call) {
                    Some(call) => self.step(Event::CallAbandoned { call }),
                    None => Ok(()),
                }
            }
        }
    }

    fn start(&mut self) -> Checked {
        let written = serde_json::to_string(&self.memory).unwrap();
        let mut memory: Memory = serde_json::from_str(&written).unwrap();
        if std::mem::take(&mut self.reboots) {
            self.boot = self.t;
            memory.rebase(self.written, self.now());
            self.standing.clear();
        }
        self.standing.retain(|notice| notice.kind != NoticeKind::Shutdown);
        self.memory = memory.clone();
        self.mind = Some(Mind::new(self.settings.clone(), memory, self.now(), self.sabotage));
        self.note(|| "the agent starts".into());
        self.step(Event::Started)?;
        for notice in self.standing.clone() {
            self.step(Event::NoticeSeen { notice })?;
        }
        for deployment in 0..self.deployments.len() {
            if let Some(at) = self.deployments[deployment].calling() {
                self.call_hook(deployment, at)?;
            }
        }
        Ok(())
    }

    fn die(&mut self, down: u64) {
        self.note(|| format!("the agent dies for {down} ms"));
        self.mind = None;
        self.run += 1;
        self.under_way = 0;
        self.calls.clear();
        self.seen.clear();
        self.at(self.t + down, Happening::Start);
    }

    fn turn(&mut self, turn: Turn) -> Checked {
        self.note(|| format!("turn: {turn:?}"));
        match turn {
            Turn::Out { ttl } => {
                let patience = Duration::from_secs(60);
                self.operator(OperatorRequest::Out { ttl: ttl.map(Duration::from_millis), patience })
            }
            Turn::In => self.operator(OperatorRequest::In { patience: Duration::from_secs(60) }),
            Turn::ApplicationDown { lasts } => {
                self.down_until = self.down_until.max(self.t + lasts);
                self.look_at_application();
                Ok(())
            }
            Turn::PutBack { group } => {
                self.change_by_others(group, true);
                Ok(())
            }
            Turn::TakeAway { group } => {
                self.change_by_others(group, false);
                Ok(())
            }
            Turn::Notice { kind, within } => {
                let notice = Notice { kind, time: within.map(|within| WallTime(EPOCH + self.t + within)) };
                self.standing.push(notice.clone());
                self.step(Event::NoticeSeen { notice })
            }
            Turn::Withdraw => match self.standing.pop() {
                Some(notice) => self.step(Event::NoticeWithdrawn { notice }),
                None => Ok(()),
            },
            Turn::Peers { group, healthy } => {
                let group = group % self.groups.len();
                self.groups[group].healthy_peers = healthy.min(self.groups[group].plan.peers);
                Ok(())
            }
            Turn::LongRequest { port, lasts } => {
                let t = self.t;
                let holds = |group: &Group| group.targets().any(|at| at.port == port && group.is_registered(at, t));
                if let Some(group) = self.groups.iter().position(holds) {
                    self.requests.push((group, port, t, t + lasts));
                }
                Ok(())
            }
            Turn::Crash { written, actions, down } => {
                self.crash = Some((written, actions, down));
                Ok(())
            }
            Turn::Reboot { down } => {
                if self.is_up() {
                    self.reboots = true;
                    for deployment in 0..self.deployments.len() {
                        if self.deployments[deployment].has_begun() {
                            self.deployment_over(deployment, false);
                        }
                    }
                    self.die(down);
                }
                Ok(())
            }
        }
    }

    fn calm(&mut self) -> Checked {
        self.note(|| "calm".into());
        self.down_until = 0;
        self.stopped = self.deployments.iter().any(Deployment::has_begun) && self.stopped;
        self.look_at_application();
        self.groups.iter_mut().for_each(|group| group.healthy_peers = group.plan.peers);
        if self.scenario.ends_in && self.memory.hold.is_some() {
            return self.operator(OperatorRequest::In { patience: Duration::from_secs(60) });
        }
        Ok(())
    }

    fn look_at_application(&mut self) {
        let (t, until) = (self.t, self.down_until);
        self.application.retain(|(since, _)| *since <= t);
        self.application.push((t, !self.stopped && until <= t));
        if until > t && !self.stopped {
            self.application.push((until, true));
        }
    }

    fn operator(&mut self, request: OperatorRequest) -> Checked {
        if !self.is_up() {
            return Ok(());
        }
        self.serial += 1;
        let call = CallId(self.serial);
        self.calls.insert(call, Caller { deadline: self.t + 60_000, hook: None });
        self.step(Event::OperatorAsked { call, request })
    }

    pub fn change_by_others(&mut self, group: usize, register: bool) {
        let n = group % self.groups.len();
        let targets: Vec<Target> = self.groups[n].targets().cloned().collect();
        self.change(n, &targets, register, By::Others);
    }

    fn change(&mut self, group: usize, targets: &[Target], register: bool, by: By) {
        let t = self.t;
        self.note(|| format!("g{group}: {targets:?} {} by {by:?}", if register { "in" } else { "out" }));
        if register {
            self.groups[group].register(targets, t, by);
            return;
        }
        for port in self.groups[group].deregister(targets, t, by) {
            // What is in flight goes on for a while, and a request that was on its way may still come; the balancer
            // cuts both when the deregistration delay is over.
            let cut = t + self.groups[group].plan.delay;
            let longest = if self.random(2) == 0 { 500 } else { 12_000 };
            let lasts = self.random(longest);
            self.requests.push((group, port, t, cut.min(t + lasts)));
            if self.random(3) == 0 {
                let begin = cut.min(t + self.random(4_500));
                let lasts = 500 + self.random(3_000);
                self.requests.push((group, port, begin, cut.min(begin + lasts)));
            }
        }
    }

    /// The event happens to the core, unless it is down; what it says is carried out, unless it dies over it.
    fn step(&mut self, event: Event) -> Checked {
        let now = self.now();
        if self.mind.is_some() {
            self.note(|| format!("event: {event:?}"));
        }
        let Some(mind) = &mut self.mind else { return Ok(()) };
        self.steps += 1;
        let mut actions = mind.step(now, event.clone());
        let memory = mind.memory();
        let crash = self.crash.take();
        match crash {
            Some((false, ..)) => actions.clear(),
            Some((true, carried_out, _)) => actions.truncate(carried_out),
            None => {}
        }
        if crash.is_none_or(|(written, ..)| written) {
            let before = std::mem::replace(&mut self.memory, memory);
            self.written = now;
            self.check_memory(&event, &before)?;
        }
        for action in actions {
            self.note(|| format!("  action: {action:?}"));
            self.check_action(&action)?;
            self.carry_out(action)?;
        }
        match crash {
            Some((.., down)) => self.die(down),
            None => self.check_waiting()?,
        }
        Ok(())
    }

    fn carry_out(&mut self, action: Action) -> Checked {
        let api = match &action {
            Action::Reply { call, answer } => {
                if let (Some(mind), now) = (&mut self.mind, Now { at: Instant(self.t - self.boot), ..self.written }) {
                    let view = mind.view(now);
                    self.hold(Invariant::Lives, !view.sentence.is_empty(), || "nothing to say".into())?;
                }
                let caller = self.calls.remove(call);
                if let Some(Caller { hook: Some((deployment, _)), .. }) = caller {
                    self.hook_answered(deployment, answer.verdict);
                }
                return Ok(());
            }
            Action::Progress { .. } | Action::Announce { .. } => return Ok(()),
            Action::CountConnections { ports } => {
                let counts = ports.iter().map(|port| (*port, self.count(*port)));
                let counts = if self.scenario.countable { counts.collect() } else { BTreeMap::new() };
                let (t, run) = (self.t + 3, self.run);
                self.under_way += 1;
                self.at(t, Happening::Answer { run, event: Event::ConnectionsCounted { counts } });
                return Ok(());
            }
            Action::LearnOwner { .. } => Api::LearnOwner,
            Action::LearnDeployment { .. } => Api::LearnDeployment,
            Action::DiscoverGroups => Api::Discover,
            Action::ObserveGroup { .. } => Api::Observe,
            Action::Deregister { .. } | Action::Register { .. } => Api::Change,
            Action::RunDrainScripts { .. } | Action::RemoveTags | Action::Release { .. } => Api::LastWords,
        };
        let t = self.t;
        let fault = self.scenario.faults.iter().find(|fault| {
            fault.api == api && fault.from <= t && t < fault.from + fault.lasts && fault.from + fault.lasts < CALM
        });
        let (run, mut latency) = (self.run, 20 + self.random(400));
        self.under_way += 1;
        let kind = match fault.map(|fault| fault.how) {
            None => None,
            Some(How::TakesLong { latency: long }) => {
                latency = long;
                None
            }
            Some(How::Throttles) => Some(FailureKind::Throttled),
            Some(How::FailsBefore) => Some(FailureKind::Unavailable),
            Some(How::Denies) => Some(FailureKind::Denied),
            Some(How::LosesAnswer { effect }) => {
                self.at(t + effect, Happening::Arrives { run, action: action.clone(), answer_after: None });
                latency += 2_000;
                Some(FailureKind::Unavailable)
            }
        };
        match kind {
            None => {
                let arrives = Happening::Arrives { run, action, answer_after: Some(latency / 2) };
                self.at(t + latency - latency / 2, arrives);
            }
            Some(kind) => {
                let failure = Failure { kind, sentence: format!("{api:?}: {kind:?}") };
                self.at(t + latency, Happening::Answer { run, event: failed(action, failure) });
            }
        }
        Ok(())
    }

    fn count(&self, port: u16) -> usize {
        let registered =
            |group: &&Group| group.targets().any(|target| target.port == port && group.is_registered(target, self.t));
        let in_service = self.groups.iter().filter(registered).count();
        in_service
            + self.requests.iter().filter(|(_, p, from, to)| *p == port && *from <= self.t && self.t < *to).count()
    }

    fn arrives(&mut self, run: u32, action: Action, answer_after: Option<u64>) {
        let by = if run == self.run && answer_after.is_some() { By::Us } else { By::OurGhost };
        let event = match action {
            Action::Deregister { group, targets } => {
                self.change(number(&group), &targets, false, by);
                Event::Deregistered { group, answer: Ok(()) }
            }
            Action::Register { group, targets } => {
                self.change(number(&group), &targets, true, by);
                Event::Registered { group, answer: Ok(()) }
            }
            Action::ObserveGroup { group } => {
                let lag = self.groups[number(&group)].plan.lag;
                let lag = self.random(lag + 1);
                let seen = self.groups[number(&group)].observe(self.t, lag, |t| self.app_is_up(t));
                Event::GroupObserved { group, answer: Ok(seen) }
            }
            Action::DiscoverGroups => {
                let holds_us = |group: &Group| !group.observe(self.t, 0, |_| true).own.is_empty();
                let facts = self.groups.iter().enumerate().filter(|(_, group)| holds_us(group));
                let facts = facts.map(|(n, group)| GroupFacts {
                    arn: TargetGroupArn::new(format!("g{n}")),
                    deregistration_delay: Duration::from_millis(group.plan.delay),
                });
                Event::GroupsDiscovered { answer: Ok(facts.collect()) }
            }
            Action::LearnOwner { group } => {
                let owner = group.name.parse::<usize>().map(|n| self.deployments[n].owner);
                Event::OwnerLearned { answer: Ok(owner.unwrap()), group }
            }
            Action::LearnDeployment { deployment } => {
                let n: usize = deployment.as_str().trim_start_matches("d-").parse().unwrap();
                let state = self.deployments[n].state(self.t);
                Event::DeploymentLearned { deployment, answer: Ok(state) }
            }
            Action::RunDrainScripts { .. } => Event::DrainScriptsEnded { answer: Ok(()) },
            Action::RemoveTags => Event::TagsRemoved { answer: Ok(()) },
            Action::Release { .. } => Event::Released { answer: Ok(()) },
            Action::CountConnections { .. }
            | Action::Reply { .. }
            | Action::Progress { .. }
            | Action::Announce { .. } => return,
        };
        if let Some(after) = answer_after {
            self.at(self.t + after, Happening::Answer { run, event });
        }
    }

    // The deployments' side.

    fn next_hook(&mut self, n: usize) -> Checked {
        let Some((at, event)) = self.deployments[n].begin_next() else { return Ok(()) };
        match event {
            E::AfterBlockTraffic => self.change_by_others(0, false),
            E::AfterAllowTraffic => self.change_by_others(0, true),
            E::BeforeBlockTraffic
            | E::ApplicationStop
            | E::BeforeInstall
            | E::AfterInstall
            | E::ApplicationStart
            | E::ValidateService
            | E::BeforeAllowTraffic => {}
        }
        let deadline = self.t + self.deployments[n].plan.patience;
        self.deployments[n].deadline = deadline;
        self.at(deadline + 1, Happening::GiveUp { deployment: n, at });
        if let Some(after) = self.deployments[n].stopped_after(at) {
            self.at(self.t + after, Happening::Stop { deployment: n, at });
        }
        self.call_hook(n, at)
    }

    /// The hook's client connects, again after a restart of the agent.
    fn call_hook(&mut self, n: usize, at: usize) -> Checked {
        let (deadline, event) = (self.deployments[n].deadline, self.deployments[n].events[at]);
        if !self.is_up() || deadline <= self.t {
            return Ok(());
        }
        self.serial += 1;
        let call = CallId(self.serial);
        self.calls.insert(call, Caller { deadline, hook: Some((n, event)) });
        if event == E::ValidateService {
            self.deployments[n].replacing = false;
        }
        let hook = HookCall {
            event,
            deployment: format!("d-{n}").as_str().into(),
            group: DeploymentGroup { application: "web".into(), name: n.to_string() },
            patience: Duration::from_millis(deadline - self.t),
        };
        self.step(Event::HookArrived { call, hook })
    }

    fn hook_answered(&mut self, n: usize, verdict: pitcrew_core::wire::Verdict) {
        let Some(event) = self.deployments[n].answered() else { return };
        self.note(|| format!("d-{n}: {event} {verdict:?}"));
        if verdict != pitcrew_core::wire::Verdict::Done {
            return self.deployment_over(n, false);
        }
        match event {
            E::ApplicationStop | E::BeforeInstall => {
                let known = self.memory.leases.contains_key(&format!("d-{n}").as_str().into());
                self.deployments[n].replacing = known || self.memory.leaving.is_none();
                self.stopped = true;
                self.look_at_application();
            }
            E::ApplicationStart => {
                let takes = 500 + self.random(8_000);
                self.at(self.t + takes, Happening::ApplicationUp);
            }
            E::BeforeBlockTraffic
            | E::AfterBlockTraffic
            | E::AfterInstall
            | E::ValidateService
            | E::BeforeAllowTraffic
            | E::AfterAllowTraffic => {}
        }
        if self.deployments[n].is_complete() {
            self.deployment_over(n, true);
        } else if self.deployments[n].is_silent_now() {
            self.deployment_over(n, false);
        } else {
            self.at(self.t + self.deployments[n].plan.gap, Happening::NextHook { deployment: n });
        }
    }

    fn deployment_over(&mut self, n: usize, well: bool) {
        let t = self.t;
        self.note(|| format!("d-{n} is over, well: {well}"));
        if let Some(rollback) = self.deployments[n].over(t, well) {
            let deployment = self.deployments.len();
            self.deployments.push(rollback);
            self.at(t + 5_000, Happening::NextHook { deployment });
        }
        if t >= CALM && !self.deployments.iter().any(Deployment::has_begun) {
            self.stopped = false;
            self.look_at_application();
        }
    }
}

pub fn number(group: &TargetGroupArn) -> usize {
    group.as_str().trim_start_matches('g').parse().unwrap()
}

fn failed(action: Action, failure: Failure) -> Event {
    match action {
        Action::LearnOwner { group } => Event::OwnerLearned { group, answer: Err(failure) },
        Action::LearnDeployment { deployment } => Event::DeploymentLearned { deployment, answer: Err(failure) },
        Action::DiscoverGroups => Event::GroupsDiscovered { answer: Err(failure) },
        Action::ObserveGroup { group } => Event::GroupObserved { group, answer: Err(failure) },
        Action::Deregister { group, .. } => Event::Deregistered { group, answer: Err(failure) },
        Action::Register { group, .. } => Event::Registered { group, answer: Err(failure) },
        Action::RunDrainScripts { .. } => Event::DrainScriptsEnded { answer: Err(failure) },
        Action::RemoveTags => Event::TagsRemoved { answer: Err(failure) },
        Action::Release { .. } => Event::Released { answer: Err(failure) },
        Action::CountConnections { .. } | Action::Reply { .. } | Action::Progress { .. } | Action::Announce { .. } => {
            Event::TimerElapsed
        }
    }
}
