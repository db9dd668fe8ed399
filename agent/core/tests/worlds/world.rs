//! The world around one core: carries out its actions under a scenario, on a clock of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use pitcrew_core::elastigroup::Topic;
use pitcrew_core::ids::CallId;
use pitcrew_core::memory::Memory;
use pitcrew_core::notice::{Notice, NoticeKind};
use pitcrew_core::settings::{OnNotice, Settings, Thresholds};
use pitcrew_core::time::{Instant, Now, WallTime};
use pitcrew_core::wire::{Action, Event, Observation, OperatorRequest, Owner};

use crate::balancer::Group;
use crate::codedeploy::Deployment;
use crate::elastigroup::Spot;
use crate::invariant::Invariant;
use crate::laws::{Caller, Checked, Judged};
use crate::outside::number;
use crate::sabotage::{Mind, Sabotage};
use crate::scenario::{CALM, Scenario, Turn};

/// Everything must be where it belongs so long after the last trouble.
const END: u64 = CALM + 1_200_000;
const PROBE_EVERY: u64 = 2_000;
pub(crate) const EPOCH: u64 = 1_700_000_000_000;

#[derive(Debug)]
pub(crate) enum Happening {
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

pub(crate) struct World<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) settings: Settings,
    sabotage: Option<Sabotage>,
    /// `None`: the agent is down.
    pub(crate) mind: Option<Mind>,
    pub(crate) memory: Memory,
    pub(crate) written: Now,
    pub(crate) run: u32,
    pub(crate) t: u64,
    /// When this boot began.
    pub(crate) boot: u64,
    reboots: bool,
    queue: BTreeMap<(u64, u64), Happening>,
    pub(crate) serial: u64,
    random: u64,
    pub(crate) groups: Vec<Group>,
    pub(crate) spot: Spot,
    application: Vec<(u64, bool)>,
    down_until: u64,
    /// An open deployment has stopped the application.
    pub(crate) stopped: bool,
    /// Group, port, and from when to when.
    pub(crate) requests: Vec<(usize, u16, u64, u64)>,
    pub(crate) deployments: Vec<Deployment>,
    crash: Option<(bool, usize, u64)>,
    pub(crate) under_way: usize,
    pub(crate) calls: BTreeMap<CallId, Caller>,
    pub(crate) seen: BTreeMap<usize, Observation>,
    standing: Vec<Notice>,
    steps_at_once: u32,
    pub(crate) steps: usize,
    pub(crate) trace: Option<Vec<String>>,
}

impl<'a> World<'a> {
    pub(crate) fn new(scenario: &'a Scenario, sabotage: Option<Sabotage>, traced: bool) -> Self {
        let by_standby = scenario.elastigroup.is_some_and(|plan| plan.by_standby);
        let told = if by_standby { Owner::Elastigroup } else { Owner::Pitcrew };
        let settings = Settings {
            owner: (by_standby || !scenario.auto_owner).then_some(told),
            elastigroup: scenario.elastigroup.map(crate::elastigroup::settings),
            on_notice: if scenario.refuse_on_notice { OnNotice::Refuse } else { OnNotice::Finish },
            return_when_withdrawn: scenario.return_when_withdrawn,
            assume_dead_after: Duration::from_secs(600),
            probes: BTreeMap::from([("app".into(), Thresholds::default())]),
            seed: scenario.seed,
            remove_tags: true,
            ..Settings::default()
        };
        let owner = |owner| if scenario.auto_owner && !by_standby { owner } else { told };
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
            spot: Spot::default(),
            application: vec![(0, true)],
            down_until: 0,
            stopped: false,
            requests: Vec::new(),
            deployments: (scenario.deployments.iter().enumerate())
                .map(|(group, plan)| Deployment::new(plan, owner(plan.owner), group))
                .collect(),
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
    pub(crate) fn play(&mut self) -> Checked {
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

    /// Such a call of ours has not arrived yet, and will, whether its answer is waited for or not.
    pub(crate) fn is_coming(&self, which: impl Fn(&Action) -> bool) -> bool {
        let mut queue = self.queue.values();
        queue.any(|happening| matches!(happening, Happening::Arrives { action, .. } if which(action)))
    }

    fn is_at_rest(&self) -> bool {
        let quiet = self.queue.values().all(|happening| match happening {
            Happening::Arrives { action, .. } => {
                !matches!(action, Action::Register { .. } | Action::Deregister { .. })
                    && !matches!(action, Action::Elastigroup(order) if order.topic() == Topic::Standby)
            }
            Happening::Start | Happening::Turn(_) | Happening::Calm | Happening::NextHook { .. } => false,
            Happening::ApplicationUp | Happening::Stop { .. } => false,
            Happening::Probe | Happening::Answer { .. } | Happening::GiveUp { .. } => true,
        });
        quiet && self.mind.is_some() && self.calls.is_empty() && self.check_end().is_ok()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.mind.is_some()
    }

    /// The core has a way to go on.
    pub(crate) fn is_alive(&self) -> bool {
        self.under_way > 0 || self.mind.as_ref().is_some_and(|mind| mind.wake_at().is_some())
    }

    pub(crate) fn app_is_up(&self, t: u64) -> bool {
        self.application.iter().rev().find(|(since, _)| *since <= t).is_none_or(|(_, up)| *up)
    }

    /// Whether a connection of this group was open on `port` at any time between the two.
    pub(crate) fn was_open(&self, group: usize, port: u16, from: u64, to: u64) -> bool {
        let mut requests = self.requests.iter().filter(|(g, p, ..)| (*g, *p) == (group, port));
        requests.any(|(.., begin, end)| *begin < to && *end > from)
    }

    pub(crate) fn at(&mut self, t: u64, happening: Happening) {
        self.serial += 1;
        self.queue.insert((t, self.serial), happening);
    }

    pub(crate) fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below.max(1)
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
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
            Turn::Detach => {
                self.spot.detached = true;
                Ok(())
            }
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

    pub(crate) fn look_at_application(&mut self) {
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
        self.calls.insert(call, Caller { until: Instant(self.t + 60_000), hook: None, promised: None });
        self.step(Event::OperatorAsked { call, request })
    }

    /// The event happens to the core, unless it is down; what it says is carried out, unless it dies over it.
    pub(crate) fn step(&mut self, event: Event) -> Checked {
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
}
