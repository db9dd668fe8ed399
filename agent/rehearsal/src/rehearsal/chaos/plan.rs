//! What will happen in one world, and when: drawn from a seed, and printed as a timeline.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use serde::Serialize;

use crate::balancer::IdleOnDrain;
use crate::interruption::Action;
use crate::lifecycle::LifecycleEvent;
use crate::rehearsal::{Options, Owner};
use crate::world::faults::{Fault, MetadataFault};

/// Everything that will happen in one world.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// In the order in which they come.
    pub turns: Vec<Turn>,
}

/// One happening, and when.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Turn {
    /// After the load has started.
    pub at: Duration,
    /// What happens.
    pub what: What,
}

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A deployment of a new revision, as soon as the one before has ended.
    Deploy {
        /// The event in which its scripts fail on every instance.
        #[serde(skip_serializing_if = "Option::is_none")]
        fails_at: Option<LifecycleEvent>,
    },
    /// A deployment of the second group to the first instance, beside whatever goes on there.
    DeployBeside,
    /// An agent is killed, and started again as systemd does.
    Kill {
        /// Whose.
        instance: u8,
    },
    /// AWS misbehaves for so long.
    Fault {
        /// How.
        fault: Fault,
        /// For how long.
        lasts: Duration,
    },
    /// A metadata service misbehaves for so long.
    Metadata {
        /// Whose.
        instance: u8,
        /// How.
        fault: MetadataFault,
        /// For how long.
        lasts: Duration,
    },
    /// An instance is taken away, or told that it may be.
    Notice {
        /// Which.
        instance: u8,
        /// By what.
        action: Action,
        /// How much time is given.
        notice: Duration,
        /// The notice is gone again after so long, and the instance stays.
        #[serde(skip_serializing_if = "Option::is_none")]
        withdrawn_after: Option<Duration>,
    },
}

/// Notices that are heard in the middle of trouble need some time.
const NOTICE: std::ops::Range<u64> = 60..125;

impl Plan {
    /// Draws the scenario and the plan of one seed: `base` says who plays and how hard the load is. `span` is how long
    /// new things go on happening.
    pub fn draw(base: &Options, seed: u64, span: Duration) -> Options {
        let mut rng = Rng::with_seed(seed ^ 0xC4A0_5C4A_05C4_A05C);
        let options = Options {
            seed,
            instances: rng.u8(1..=3),
            owner: if rng.u8(..10) < 7 { Owner::Pitcrew } else { Owner::CodeDeploy },
            slow_requests: (rng.u8(..10) < 3).then(|| Duration::from_millis(rng.u64(500..6000))),
            keep_alive: rng.u8(..10) < 8,
            idle_on_drain: if rng.bool() { IdleOnDrain::Closed } else { IdleOnDrain::KeptOpen },
            deregistration_delay: Duration::from_secs(*rng.choice(&[20, 60, 300]).unwrap_or(&300)),
            warm_up: Duration::from_millis(rng.u64(200..4000)),
            requests: 0,
            ..base.clone()
        };
        let plan = Self::of(&mut rng, &options, span);
        Options { chaos: Some(plan), ..options }
    }

    fn of(rng: &mut Rng, options: &Options, span: Duration) -> Self {
        let instances = options.instances;
        let moment =
            |rng: &mut Rng| Duration::from_millis(rng.u64(1000..u64::try_from(span.as_millis()).unwrap_or(2000)));
        let minutes = span.as_secs().div_ceil(60);
        let mut turns = Vec::new();
        for _ in 0..minutes + rng.u64(..=minutes) {
            let fails_at = (rng.u8(..10) < 2).then(|| *rng.choice(&FAILS_AT).unwrap_or(&FAILS_AT[0]));
            turns.push(Turn { at: moment(rng), what: What::Deploy { fails_at } });
        }
        if options.owner == Owner::Pitcrew && rng.u8(..4) == 0 {
            turns.push(Turn { at: moment(rng), what: What::DeployBeside });
        }
        for _ in 0..rng.u64(..=minutes * 2) {
            turns.push(Turn { at: moment(rng), what: What::Kill { instance: rng.u8(1..=instances) } });
        }
        let mut may_hibernate = true;
        for _ in 0..rng.u64(..=minutes) {
            // One that may not be taken out cannot leave in time either: refusals come where nobody must leave.
            let fault = *rng.choice(&[Fault::Throttle, Fault::ServerErrors, Fault::Slow]).unwrap_or(&Fault::Slow);
            let lasts = Duration::from_millis(rng.u64(2000..20_000));
            turns.push(Turn { at: moment(rng), what: What::Fault { fault, lasts } });
            may_hibernate = false;
        }
        for _ in 0..rng.u64(..=minutes) {
            let fault = *rng.choice(&METADATA).unwrap_or(&MetadataFault::Hang);
            let lasts = Duration::from_millis(rng.u64(1000..15_000));
            let what = What::Metadata { instance: rng.u8(1..=instances), fault, lasts };
            turns.push(Turn { at: moment(rng), what });
            may_hibernate = false;
        }
        let may_hibernate = may_hibernate && !turns.iter().any(|turn| matches!(turn.what, What::Kill { .. }));
        for instance in 1..=instances {
            if rng.u8(..10) < 6 {
                turns.push(Turn { at: moment(rng), what: notice(rng, instance, may_hibernate) });
            }
        }
        turns.sort_by_key(|turn| turn.at);
        Self { turns }
    }

    /// How many of its happenings are so.
    pub fn count(&self, is: impl Fn(&What) -> bool) -> usize {
        self.turns.iter().filter(|turn| is(&turn.what)).count()
    }
}

const FAILS_AT: [LifecycleEvent; 4] = [
    LifecycleEvent::BeforeInstall,
    LifecycleEvent::AfterInstall,
    LifecycleEvent::ApplicationStart,
    LifecycleEvent::ValidateService,
];

const METADATA: [MetadataFault; 5] = [
    MetadataFault::Hang,
    MetadataFault::Unavailable,
    MetadataFault::Unauthorized,
    MetadataFault::Empty,
    MetadataFault::Flap,
];

fn notice(rng: &mut Rng, instance: u8, may_hibernate: bool) -> What {
    let mut actions = vec![
        Action::Terminate,
        Action::Terminate,
        Action::Stop,
        Action::Rebalance,
        Action::Scheduled,
        Action::AutoScaling,
    ];
    if may_hibernate {
        actions.push(Action::Hibernate);
    }
    let action = *rng.choice(&actions).unwrap_or(&Action::Terminate);
    let notice = Duration::from_secs(rng.u64(NOTICE));
    let may_be_withdrawn = action == Action::Stop || action == Action::Scheduled;
    let withdrawn_after =
        (may_be_withdrawn && rng.u8(..3) == 0).then(|| Duration::from_secs(rng.u64(5..notice.as_secs() - 5)));
    What::Notice { instance, action, notice, withdrawn_after }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8.2}  {}", self.at.as_secs_f64(), self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Deploy { fails_at: None } => f.write_str("deploy"),
            What::Deploy { fails_at: Some(event) } => write!(f, "deploy, and fail in {event}"),
            What::DeployBeside => f.write_str("deploy the second group to instance 1"),
            What::Kill { instance } => write!(f, "kill the agent of instance {instance}"),
            What::Fault { fault, lasts } => write!(f, "AWS: {} for {:.1} s", fault.name(), lasts.as_secs_f64()),
            What::Metadata { instance, fault, lasts } => {
                write!(f, "metadata of instance {instance}: {} for {:.1} s", fault.name(), lasts.as_secs_f64())
            }
            What::Notice { instance, action, notice, withdrawn_after } => {
                write!(f, "instance {instance}: {action} in {} s", notice.as_secs())?;
                match withdrawn_after {
                    Some(after) => write!(f, ", withdrawn after {} s", after.as_secs()),
                    None => Ok(()),
                }
            }
        }
    }
}
