//! One state of everything: the core, its memory on disk, and the outside, at one moment.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pitcrew_core::ids::CallId;
use pitcrew_core::lifecycle::LifecycleEvent as E;
use pitcrew_core::memory::Memory;
use pitcrew_core::notice::{Notice, NoticeKind};
use pitcrew_core::time::{Instant, WallTime};
use pitcrew_core::wire::{Action, Event, Observation, OperatorRequest};

use crate::balancer::Group;
use crate::choice::{Choice, Trouble};
use crate::deployment::Deployment;
use crate::elastigroup::{Spot, is_standby};
use crate::invariant::Invariant;
use crate::laws::{Caller, Checked, Judged};
use crate::registration::By;
use crate::sabotage::{Mind, Sabotage};
use crate::scene::Scene;

/// Milliseconds from one moment to the next: nothing happens in between, and who wants to wake up then wakes up late.
pub(crate) const TICK: u64 = 250;
pub(crate) const EPOCH: u64 = 1_700_000_000_000;
/// Everything must be where it belongs so long after the last trouble, in milliseconds.
const WITHIN: u64 = 400_000;
const OPERATOR: CallId = CallId(100);
const PATIENCE: u64 = 40_000;
/// The agent is down for so long.
const DOWN: u64 = 4 * TICK;

#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// A call of ours reaches the other side, and is answered unless nobody waits.
    Arrives {
        action: Action,
        answered: bool,
    },
    Start,
    NextHook(usize),
    ApplicationUp,
    ApplicationMended,
    PeersWell,
    Probe,
}

#[derive(Clone, Debug)]
pub(crate) struct App {
    /// A deployment has stopped it.
    pub(crate) stopped: bool,
    pub(crate) ill: bool,
    /// How often the probe has told how it is since it is so; twice is as good as more.
    pub(crate) told: u8,
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) scene: Arc<Scene>,
    sabotage: Option<Sabotage>,
    pub(crate) trace: Option<Vec<String>>,
    /// When the latest trouble was.
    troubled: u64,
    pub(crate) t: u64,
    /// `None`: the agent is down.
    pub(crate) mind: Option<Mind>,
    pub(crate) memory: Memory,
    pub(crate) troubles: u8,
    queue: Vec<(Instant, Happening)>,
    pub(crate) groups: Vec<Group>,
    pub(crate) app: App,
    pub(crate) deployments: Vec<Deployment>,
    pub(crate) calls: BTreeMap<CallId, Caller>,
    /// What the core was last shown.
    pub(crate) seen: BTreeMap<usize, Observation>,
    pub(crate) standing: Vec<Notice>,
    pub(crate) spot: Spot,
    crash: Option<(bool, usize)>,
}

/// Only what decides how it goes on.
impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.mind {
            Some(mind) => write!(f, "{mind:?}")?,
            None => write!(f, "{:?}", self.memory)?,
        }
        let outside =
            (&self.queue, &self.groups, &self.app, &self.deployments, &self.calls, &self.standing, &self.spot);
        write!(f, "{}{outside:?}", self.troubles)
    }
}

impl World {
    pub(crate) fn new(scene: &Scene, troubles: u8, sabotage: Option<Sabotage>) -> Self {
        let mut world = Self {
            scene: Arc::new(scene.clone()),
            sabotage,
            trace: None,
            troubled: 0,
            t: 0,
            mind: None,
            memory: Memory::default(),
            troubles,
            queue: Vec::new(),
            groups: (0..scene.groups).map(|n| Group::new(8080 + n as u16, scene.peers)).collect(),
            app: App { stopped: false, ill: false, told: 0 },
            deployments: scene.owners.iter().map(|owner| Deployment::new(*owner)).collect(),
            calls: BTreeMap::new(),
            seen: BTreeMap::new(),
            standing: Vec::new(),
            spot: Spot::default(),
            crash: None,
        };
        world.at(0, Happening::Start);
        world
    }

    pub(crate) fn app_is_up(&self) -> bool {
        !self.app.stopped && !self.app.ill
    }

    pub(crate) fn at(&mut self, t: u64, happening: Happening) {
        let place = self.queue.partition_point(|(at, _)| at.0 <= t);
        self.queue.insert(place, (Instant(t), happening));
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        let t = self.t;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>8.2} {}", t as f64 / 1000.0, line()));
        }
    }

    /// What happens next, and when; no happening: the core wakes up.
    pub(crate) fn next(&self) -> Option<(u64, Option<&Happening>)> {
        let due = self.queue.first();
        let wake = self.mind.as_ref().and_then(Mind::wake_at).map(|at| at.0.next_multiple_of(TICK).max(self.t));
        match (due, wake) {
            (Some((at, happening)), wake) if wake.is_none_or(|wake| at.0 <= wake) => Some((at.0, Some(happening))),
            (_, Some(wake)) => Some((wake, None)),
            (_, None) => None,
        }
    }

    /// Makes a choice; an error names the invariant that is broken by it.
    pub(crate) fn take(&mut self, choice: &Choice) -> Checked {
        match choice {
            Choice::GoOn => {
                let late = self.t > self.troubled + WITHIN;
                self.hold(Invariant::NothingStranded, !late, || format!("not at rest: {:?}", self.check_end()))?;
                self.go_on()
            }
            Choice::Begin(n) => {
                self.troubled = self.t;
                self.next_hook(*n)
            }
            Choice::EndHold => {
                self.troubled = self.t;
                self.operator(OperatorRequest::In { patience: Duration::from_millis(PATIENCE) })
            }
            Choice::Trouble(trouble) => {
                self.troubled = self.t;
                self.troubles -= 1;
                self.trouble(*trouble)
            }
        }
    }

    fn go_on(&mut self) -> Checked {
        let Some((t, happening)) = self.next() else {
            return self.hold(Invariant::Lives, false, || "nothing is scheduled and nothing under way".into());
        };
        let timer = happening.is_none();
        self.t = t.max(self.t);
        if timer {
            return self.step(Event::TimerElapsed);
        }
        match self.queue.remove(0).1 {
            Happening::Arrives { action, answered } => {
                let by = if answered { By::Us } else { By::OurGhost };
                match self.arrives(action, by) {
                    Some(event) if answered => self.answer(event),
                    Some(_) | None => Ok(()),
                }
            }
            Happening::Start => self.start(),
            Happening::NextHook(n) => self.next_hook(n),
            Happening::ApplicationUp => {
                self.app_changes(|app| app.stopped = false);
                Ok(())
            }
            Happening::ApplicationMended => {
                self.app_changes(|app| app.ill = false);
                Ok(())
            }
            Happening::PeersWell => {
                self.groups.iter_mut().for_each(|group| group.healthy_peers = group.peers);
                Ok(())
            }
            Happening::Probe => {
                self.app.told = (self.app.told + 1).min(2);
                let answer = if self.app_is_up() { Ok(()) } else { Err("connection refused".to_owned()) };
                self.step(Event::ProbeAnswered { probe: "app".into(), answer })
            }
        }
    }

    pub(crate) fn answer(&mut self, event: Event) -> Checked {
        if let Event::GroupObserved { group, answer: Ok(observation) } = &event {
            self.seen.insert(crate::outside::number(group), observation.clone());
        }
        self.step(event)
    }

    fn app_changes(&mut self, change: impl FnOnce(&mut App)) {
        change(&mut self.app);
        self.app.told = 0;
        self.probe_if_it_matters();
    }

    /// The probe asks every second; what it would say again for the third time is left out while nobody waits for it.
    fn probe_if_it_matters(&mut self) {
        let asked = self.queue.iter().any(|(_, happening)| matches!(happening, Happening::Probe));
        let waits = self.calls.values().any(|caller| matches!(caller.hook, Some((_, E::ValidateService))));
        if !asked && self.mind.is_some() && (waits || self.app.told < 2) {
            self.at(self.t + 4 * TICK, Happening::Probe);
        }
    }

    fn start(&mut self) -> Checked {
        let written = serde_json::to_string(&self.memory).unwrap();
        self.memory = serde_json::from_str(&written).unwrap();
        let settings = self.scene.settings.clone();
        self.mind = Some(Mind::new(settings, self.memory.clone(), self.now(), self.sabotage));
        self.app.told = 0;
        self.note(|| "the agent starts".into());
        self.step(Event::Started)?;
        for notice in self.standing.clone() {
            self.step(Event::NoticeSeen { notice })?;
        }
        (0..self.deployments.len()).try_for_each(|n| self.call_hook(n, 0))
    }

    fn die(&mut self) {
        self.note(|| "the agent dies".into());
        self.mind = None;
        self.calls.clear();
        self.seen.clear();
        self.queue.retain(|(_, happening)| !matches!(happening, Happening::Probe));
        for (_, happening) in &mut self.queue {
            if let Happening::Arrives { answered, .. } = happening {
                *answered = false;
            }
        }
        self.at(self.t + DOWN, Happening::Start);
    }

    fn trouble(&mut self, trouble: Trouble) -> Checked {
        let patience = Duration::from_millis(PATIENCE);
        match trouble {
            Trouble::Fails(_) | Trouble::LosesAnswer { .. } | Trouble::Late | Trouble::Stale => {
                self.trouble_with_answer(trouble)
            }
            Trouble::Crash { written, actions } => {
                self.crash = Some((written, actions));
                let went_on = self.go_on();
                // What was next did not concern the agent: it dies right after.
                if self.crash.take().is_some() && self.mind.is_some() {
                    self.die();
                }
                went_on
            }
            Trouble::Notice(kind) => {
                let within = if kind == NoticeKind::SpotTerminate { Some(12_000) } else { None };
                let notice = Notice { kind, time: within.map(|within| WallTime(EPOCH + self.t + within)) };
                self.standing.push(notice.clone());
                self.step(Event::NoticeSeen { notice })
            }
            Trouble::Withdraw => {
                let Some(notice) = self.standing.pop() else { return Ok(()) };
                self.step(Event::NoticeWithdrawn { notice })
            }
            Trouble::Out => self.operator(OperatorRequest::Out { ttl: None, patience }),
            Trouble::Leave => self.operator(OperatorRequest::Leave { within: None, waits: true, patience }),
            Trouble::Stop(n) => {
                self.deployment_fails(n);
                self.abandon(|caller| caller.hook.is_some_and(|(deployment, _)| deployment == n))
            }
            Trouble::Repeat(n) => self.call_hook(n, 1),
            Trouble::Silent(n) => {
                self.deployment_fails(n);
                Ok(())
            }
            Trouble::PutBack | Trouble::TakeAway => {
                (0..self.groups.len()).for_each(|n| self.change(n, trouble == Trouble::PutBack, By::Others));
                Ok(())
            }
            Trouble::ApplicationDown => {
                self.app_changes(|app| app.ill = true);
                self.at(self.t + 20 * TICK, Happening::ApplicationMended);
                Ok(())
            }
            Trouble::PeersIll => {
                self.groups.iter_mut().for_each(|group| group.healthy_peers = 0);
                self.at(self.t + 20 * TICK, Happening::PeersWell);
                Ok(())
            }
        }
    }

    /// The call that is answered next goes wrong.
    fn trouble_with_answer(&mut self, trouble: Trouble) -> Checked {
        let (at, happening) = self.queue.remove(0);
        self.t = at.0.max(self.t);
        let Happening::Arrives { action, .. } = happening else { return Ok(()) };
        match trouble {
            Trouble::Late => {
                self.at(self.t + 20 * TICK, Happening::Arrives { action, answered: true });
                Ok(())
            }
            Trouble::Stale => {
                let event = self.arrives_late(action);
                event.map_or(Ok(()), |event| self.answer(event))
            }
            Trouble::Fails(kind) => self.answer(crate::outside::failed(action, kind)),
            Trouble::LosesAnswer { later } => {
                if later {
                    self.at(self.t + 12 * TICK, Happening::Arrives { action: action.clone(), answered: false });
                } else {
                    self.arrives(action.clone(), By::OurGhost);
                }
                self.answer(crate::outside::failed(action, pitcrew_core::wire::FailureKind::Unavailable))
            }
            _ => Ok(()),
        }
    }

    fn operator(&mut self, request: OperatorRequest) -> Checked {
        // Whoever asks again has given the first wish up.
        self.abandon(|caller| caller.hook.is_none())?;
        self.calls.insert(OPERATOR, Caller { until: Instant(self.t + PATIENCE), hook: None, promised: None });
        self.step(Event::OperatorAsked { call: OPERATOR, request })
    }

    fn abandon(&mut self, whose: impl Fn(&Caller) -> bool) -> Checked {
        let calls: Vec<CallId> = self.calls.iter().filter(|(_, caller)| whose(caller)).map(|(id, _)| *id).collect();
        for call in calls {
            self.step(Event::CallAbandoned { call })?;
        }
        Ok(())
    }

    /// The event happens to the core, unless it is down; what it says is carried out, unless it dies over it.
    pub(crate) fn step(&mut self, event: Event) -> Checked {
        let now = self.now();
        let Some(mind) = &mut self.mind else { return Ok(()) };
        let mut actions = mind.step(now, event.clone());
        let memory = mind.memory();
        self.note(|| format!("event: {event:?}"));
        let crash = self.crash.take();
        match crash {
            Some((false, _)) => actions.clear(),
            Some((true, carried_out)) => actions.truncate(carried_out),
            None => {}
        }
        if crash.is_none_or(|(written, _)| written) {
            let before = std::mem::replace(&mut self.memory, memory);
            self.check_memory(&event, &before)?;
        }
        for action in actions {
            self.note(|| format!("  action: {action:?}"));
            self.check_action(&action)?;
            self.carry_out(action)?;
        }
        if crash.is_some() {
            self.die();
            return Ok(());
        }
        self.probe_if_it_matters();
        self.check_waiting()
    }

    /// Something other than the agent's own timer is on its way to it.
    pub(crate) fn is_under_way(&self) -> bool {
        self.queue.iter().any(|(_, happening)| matches!(happening, Happening::Arrives { answered: true, .. }))
    }

    /// Such a call of ours has not arrived yet, and will, whether its answer is waited for or not.
    pub(crate) fn is_coming(&self, which: impl Fn(&Action) -> bool) -> bool {
        let mut queue = self.queue.iter();
        queue.any(|(_, happening)| matches!(happening, Happening::Arrives { action, .. } if which(action)))
    }

    /// Everything is where it belongs, and nothing but the idle looks of the agent goes on.
    pub(crate) fn is_at_rest(&self) -> bool {
        let quiet = self.queue.iter().all(|(_, happening)| match happening {
            Happening::Arrives { action, .. } => {
                !matches!(action, Action::Register { .. } | Action::Deregister { .. }) && !is_standby(action)
            }
            Happening::Start
            | Happening::NextHook(_)
            | Happening::ApplicationUp
            | Happening::ApplicationMended
            | Happening::PeersWell
            | Happening::Probe => false,
        });
        let settled = self.memory.taken_out.values().all(|taken| taken.settles_at.0 <= self.t);
        quiet && settled && self.mind.is_some() && self.calls.is_empty() && self.check_end().is_ok()
    }
}
