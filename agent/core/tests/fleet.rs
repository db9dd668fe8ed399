//! A fleet in one rolling deployment, against an API that throttles all of them together: how many calls that makes, and
//! how many instances may deploy at a time.
//!
//! AWS does not publish the limits of its load balancing API; here a token bucket stands for them, of a size that people
//! report. The whole table, up to 10,000 instances:
//! `cargo test --release -p pitcrew-core --test fleet -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a world that cannot go on is a failed test")]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "figures for people")]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use pitcrew_core::Core;
use pitcrew_core::ids::{CallId, DeploymentGroup};
use pitcrew_core::lifecycle::LifecycleEvent as E;
use pitcrew_core::memory::Memory;
use pitcrew_core::settings::Settings;
use pitcrew_core::time::{Instant, Now, WallTime};
use pitcrew_core::wire::{
    Action, Event, Failure, FailureKind, GroupFacts, HookCall, Observation, Owner, Target, TargetState, Verdict,
};

/// Calls a second that the API takes for good, and how many more at once; for reads, and for changes.
const READS: (f64, f64) = (40.0, 100.0);
const CHANGES: (f64, f64) = (20.0, 40.0);
/// A target group holds no more targets.
const GROUP: usize = 1_000;
/// One answer takes so long, in milliseconds.
const LATENCY: u64 = 60;
/// From ApplicationStop to an application that answers.
const RESTART: u64 = 8_000;
/// From a registration to the balancer's `healthy`.
const UNTIL_HEALTHY: u64 = 10_000;
const PATIENCE: u64 = 900_000;
const EVENTS: [E; 5] = [E::ApplicationStop, E::BeforeInstall, E::AfterInstall, E::ApplicationStart, E::ValidateService];

/// Limits a stream of calls.
struct Bucket {
    rate: f64,
    size: f64,
    tokens: f64,
    filled: u64,
    calls: u64,
    refused: u64,
}

impl Bucket {
    fn new((rate, size): (f64, f64)) -> Self {
        Self { rate, size, tokens: size, filled: 0, calls: 0, refused: 0 }
    }

    fn takes(&mut self, t: u64) -> bool {
        self.tokens = (self.tokens + (t - self.filled) as f64 / 1000.0 * self.rate).min(self.size);
        self.filled = t;
        self.calls += 1;
        let taken = self.tokens >= 1.0;
        if taken {
            self.tokens -= 1.0
        } else {
            self.refused += 1
        }
        taken
    }
}

enum Due {
    Wake,
    Hear(Box<Event>),
    Hook,
}

struct Instance {
    core: Core,
    /// When its target is healthy again; `None`: deregistered, since when.
    healthy_from: Option<u64>,
    out_since: Option<u64>,
    next_event: usize,
    /// A deployment is open here since.
    deploying: bool,
    woken_at: u64,
}

/// What one rolling deployment came to.
struct Figures {
    minutes: f64,
    reads_per_s: f64,
    changes_per_s: f64,
    refused_percent: f64,
    failed: usize,
    out_p50_s: f64,
    out_max_s: f64,
}

struct Fleet {
    t: u64,
    serial: u64,
    queue: BinaryHeap<Reverse<(u64, u64, usize)>>,
    dues: BTreeMap<u64, Due>,
    instances: Vec<Instance>,
    reads: Bucket,
    changes: Bucket,
    waiting: Vec<usize>,
    failed: usize,
    finished: usize,
    outs: Vec<u64>,
}

impl Fleet {
    fn new(count: usize) -> Self {
        let instance = |n: usize| {
            let settings = Settings { owner: Some(Owner::Pitcrew), seed: n as u64, ..Settings::default() };
            Instance {
                core: Core::new(settings, Memory::default(), Now::default()),
                healthy_from: Some(0),
                out_since: None,
                next_event: 0,
                deploying: false,
                woken_at: u64::MAX,
            }
        };
        let mut fleet = Self {
            t: 0,
            serial: 0,
            queue: BinaryHeap::new(),
            dues: BTreeMap::new(),
            instances: (0..count).map(instance).collect(),
            reads: Bucket::new(READS),
            changes: Bucket::new(CHANGES),
            waiting: (0..count).rev().collect(),
            failed: 0,
            finished: 0,
            outs: Vec::new(),
        };
        // Instances were not all launched in the same moment.
        for n in 0..count {
            fleet.at(1 + (n as u64 * 7_919) % 60_000, n, Due::Hear(Box::new(Event::Started)));
        }
        fleet
    }

    fn at(&mut self, t: u64, n: usize, due: Due) {
        self.serial += 1;
        self.queue.push(Reverse((t, self.serial, n)));
        self.dues.insert(self.serial, due);
    }

    /// Lets time pass until `t`, or until `is_over`.
    fn pass(&mut self, until: u64, is_over: impl Fn(&Self) -> bool) {
        while !is_over(self)
            && let Some(Reverse((t, serial, n))) = self.queue.peek().copied()
            && t <= until
        {
            self.queue.pop();
            self.t = t;
            match self.dues.remove(&serial) {
                Some(Due::Wake) if self.instances[n].woken_at == t => self.step(n, Event::TimerElapsed),
                Some(Due::Wake) | None => {}
                Some(Due::Hear(event)) => self.step(n, *event),
                Some(Due::Hook) => self.call_hook(n),
            }
        }
        if !is_over(self) {
            self.t = until;
        }
    }

    fn roll(&mut self, at_a_time: usize) -> Figures {
        let (began, reads, changes) = (self.t, self.reads.calls, self.changes.calls);
        let refused = self.reads.refused + self.changes.refused;
        for _ in 0..at_a_time {
            self.begin_next();
        }
        let count = self.instances.len();
        self.pass(began + 48 * 3_600_000, |fleet| fleet.finished == count);
        assert_eq!(self.finished, count, "the deployment never ended");
        let seconds = (self.t - began) as f64 / 1000.0;
        let (reads, changes) = (self.reads.calls - reads, self.changes.calls - changes);
        let refused = self.reads.refused + self.changes.refused - refused;
        self.outs.sort_unstable();
        let out = |at: usize| self.outs.get(at).map_or(0.0, |ms| *ms as f64 / 1000.0);
        Figures {
            minutes: seconds / 60.0,
            reads_per_s: reads as f64 / seconds,
            changes_per_s: changes as f64 / seconds,
            refused_percent: 100.0 * refused as f64 / (reads + changes).max(1) as f64,
            failed: self.failed,
            out_p50_s: out(self.outs.len() / 2),
            out_max_s: out(self.outs.len().saturating_sub(1)),
        }
    }

    fn begin_next(&mut self) {
        if let Some(n) = self.waiting.pop() {
            self.instances[n].deploying = true;
            // The host agent polls every second.
            self.at(self.t + 100 + n as u64 * 613 % 1_000, n, Due::Hook);
        }
    }

    fn call_hook(&mut self, n: usize) {
        let event = EVENTS[self.instances[n].next_event];
        let hook = HookCall {
            event,
            deployment: "d-1".into(),
            group: DeploymentGroup { application: "web".into(), name: "prod".into() },
            revision: Default::default(),
            patience: Duration::from_millis(PATIENCE),
        };
        self.step(n, Event::HookArrived { call: CallId(1 + self.instances[n].next_event as u64), hook });
    }

    fn step(&mut self, n: usize, event: Event) {
        let now = Now { at: Instant(self.t), wall: WallTime(1_700_000_000_000 + self.t) };
        for action in self.instances[n].core.step(now, event) {
            self.carry_out(n, action);
        }
        let wake = self.instances[n].core.wake_at().map_or(u64::MAX, |at| at.0.max(self.t + 1));
        if wake != self.instances[n].woken_at && wake != u64::MAX {
            self.instances[n].woken_at = wake;
            self.at(wake, n, Due::Wake);
        }
    }

    fn carry_out(&mut self, n: usize, action: Action) {
        let t = self.t;
        let refused = || Failure { kind: FailureKind::Throttled, sentence: "Rate exceeded".into() };
        let event = match action {
            Action::Reply { answer, .. } => return self.answered(n, answer.verdict),
            Action::ObserveGroup { group } => {
                let answer = if self.reads.takes(t) { Ok(self.observe(n)) } else { Err(refused()) };
                Event::GroupObserved { group, answer }
            }
            Action::DiscoverGroups => {
                let facts = GroupFacts { arn: "web".into(), deregistration_delay: Duration::from_secs(300) };
                let answer = if self.reads.takes(t) { Ok(vec![facts]) } else { Err(refused()) };
                Event::GroupsDiscovered { answer }
            }
            Action::Deregister { group, .. } => {
                let taken = self.changes.takes(t);
                if taken {
                    self.instances[n].healthy_from = None;
                    self.instances[n].out_since.get_or_insert(t);
                }
                Event::Deregistered { group, answer: if taken { Ok(()) } else { Err(refused()) } }
            }
            Action::Register { group, .. } => {
                let taken = self.changes.takes(t);
                if taken {
                    self.instances[n].healthy_from = Some(t + UNTIL_HEALTHY);
                    self.outs.extend(self.instances[n].out_since.take().map(|since| t + UNTIL_HEALTHY - since));
                }
                Event::Registered { group, answer: if taken { Ok(()) } else { Err(refused()) } }
            }
            Action::CountConnections { ports } => {
                Event::ConnectionsCounted { counts: ports.into_iter().map(|port| (port, 0)).collect() }
            }
            Action::Promise { .. } | Action::Retract { .. } | Action::Progress { .. } | Action::Announce { .. } => {
                return;
            }
            other => panic!("nobody wants {other:?} here"),
        };
        self.at(t + LATENCY, n, Due::Hear(Box::new(event)));
    }

    fn observe(&self, n: usize) -> Observation {
        let target = Target { id: format!("i-{n}"), port: 8080, zone: None };
        let state = match self.instances[n].healthy_from {
            Some(from) if from <= self.t => TargetState::Healthy,
            Some(_) => TargetState::Initial,
            None => TargetState::Draining,
        };
        // All but those that deploy are healthy.
        let peers = self.instances.len().min(GROUP) - 1;
        Observation { own: [(target, state)].into(), peers, healthy_peers: peers }
    }

    fn answered(&mut self, n: usize, verdict: Verdict) {
        let instance = &mut self.instances[n];
        instance.next_event += 1;
        if verdict != Verdict::Done || instance.next_event == EVENTS.len() {
            self.failed += usize::from(verdict != Verdict::Done);
            self.finished += 1;
            return self.begin_next();
        }
        let work = if EVENTS[instance.next_event] == E::ValidateService { RESTART } else { 1_000 };
        self.at(self.t + work, n, Due::Hook);
    }
}

/// What a fleet costs while nothing happens.
struct Idle {
    reads_per_s: f64,
    refused_percent: f64,
    /// Of the cores and of what stands around them here, for each instance.
    cpu_ms_per_hour: f64,
}

fn idle(fleet: &mut Fleet) -> Idle {
    // The first quarter of an hour is the launch.
    fleet.pass(900_000, |_| false);
    let (reads, refused, cpu) = (fleet.reads.calls, fleet.reads.refused, cpu_ms());
    fleet.pass(900_000 + 1_800_000, |_| false);
    let calls = fleet.reads.calls - reads;
    Idle {
        reads_per_s: calls as f64 / 1800.0,
        refused_percent: 100.0 * (fleet.reads.refused - refused) as f64 / calls.max(1) as f64,
        cpu_ms_per_hour: (cpu_ms() - cpu) * 2.0 / fleet.instances.len() as f64,
    }
}

/// Time of this thread on a processor; zero where the kernel does not tell.
fn cpu_ms() -> f64 {
    let account = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    account.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or_default() / 1e6
}

fn row(count: usize, at_a_time: usize) -> Figures {
    let mut fleet = Fleet::new(count);
    let idle = idle(&mut fleet);
    let figures = fleet.roll(at_a_time);
    let Figures { minutes, reads_per_s, changes_per_s, refused_percent, failed, out_p50_s, out_max_s } = &figures;
    println!(
        "| {count} | {at_a_time} | {:.2} | {:.1} % | {minutes:.1} | {reads_per_s:.1} | {changes_per_s:.1} | \
         {refused_percent:.1} % | {failed} | {out_p50_s:.1} | {out_max_s:.1} | {:.2} |",
        idle.reads_per_s, idle.refused_percent, idle.cpu_ms_per_hour
    );
    figures
}

#[test]
fn a_hundred_instances_roll_within_the_limits() {
    let figures = row(100, 10);
    assert_eq!(figures.failed, 0);
    assert!(figures.refused_percent < 1.0, "{} %", figures.refused_percent);
    assert!(figures.out_p50_s < 40.0, "{} s", figures.out_p50_s);
}

#[test]
fn a_large_fleet_at_rest_asks_less_than_the_limit() {
    let mut fleet = Fleet::new(2_000);
    let Idle { reads_per_s, refused_percent, .. } = idle(&mut fleet);
    let few = reads_per_s < READS.0 / 4.0 && refused_percent < 0.1;
    assert!(few, "{reads_per_s} calls a second, {refused_percent} % refused");
}

#[test]
#[ignore = "the long form: minutes"]
fn the_table_of_fleets() {
    println!(
        "| instances | at a time | idle calls/s | refused | minutes | reads/s | changes/s | refused | hooks failed | out p50 s | out max s | CPU ms per instance and hour at rest |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for (count, at_a_time) in [
        (1, 1),
        (10, 1),
        (100, 10),
        (1_000, 10),
        (1_000, 50),
        (1_000, 250),
        (10_000, 10),
        (10_000, 50),
        (10_000, 100),
        (10_000, 500),
        (10_000, 2_500),
    ] {
        row(count, at_a_time);
    }
}
