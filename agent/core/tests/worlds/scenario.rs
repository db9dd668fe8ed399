//! What will happen in a world: a value, so that one that fails can be shrunk.

use std::iter;

use proptest::collection::vec;
use proptest::prelude::*;

use pitcrew_core::notice::NoticeKind;
use pitcrew_core::wire::Owner;

/// From then on nothing goes wrong any more, in milliseconds.
pub(crate) const CALM: u64 = 300_000;

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// Decides latencies, lags and how long requests take.
    pub(crate) seed: u64,
    /// Who moves traffic is asked of CodeDeploy; else it is this agent.
    pub(crate) auto_owner: bool,
    pub(crate) refuse_on_notice: bool,
    pub(crate) return_when_withdrawn: bool,
    /// Whether connections can be counted.
    pub(crate) countable: bool,
    /// A hold that still stands at the end is ended.
    pub(crate) ends_in: bool,
    /// The instance is in an Elastigroup, and there is a token for it.
    pub(crate) elastigroup: Option<ElastigroupPlan>,
    pub(crate) groups: Vec<GroupPlan>,
    pub(crate) deployments: Vec<DeploymentPlan>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) turns: Vec<(u64, Turn)>,
}

/// Times in milliseconds, here and below.
#[derive(Clone, Debug)]
pub(crate) struct GroupPlan {
    pub(crate) ports: Vec<u16>,
    pub(crate) delay: u64,
    /// What is shown may be so old.
    pub(crate) lag: u64,
    pub(crate) until_healthy: u64,
    pub(crate) peers: usize,
    pub(crate) healthy_peers: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ElastigroupPlan {
    /// Standby moves traffic, whoever would else.
    pub(crate) by_standby: bool,
    /// Processes are suspended beside the lock.
    pub(crate) suspends: bool,
    /// What leaves standby is registered again; else nobody does.
    pub(crate) registers: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct DeploymentPlan {
    pub(crate) start: u64,
    pub(crate) owner: Owner,
    /// No previous revision: its scripts do not run.
    pub(crate) first: bool,
    /// Between the answer to one hook and the call of the next.
    pub(crate) gap: u64,
    pub(crate) patience: u64,
    pub(crate) end: End,
    pub(crate) rolls_back: bool,
}

/// How a deployment ends, at which of its events.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Well,
    /// After the hook was answered: a later script fails, or CodeDeploy dies. Nothing more is heard of it.
    Silent {
        at: usize,
    },
    /// The hook's process is stopped while it waits.
    Stopped {
        at: usize,
        after: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    LearnOwner,
    LearnDeployment,
    Discover,
    Observe,
    Change,
    LastWords,
    Elastigroup,
}

#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) from: u64,
    pub(crate) lasts: u64,
    pub(crate) api: Api,
    pub(crate) how: How,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    Throttles,
    FailsBefore,
    Denies,
    /// The answer never comes; the effect does, so long after the call.
    LosesAnswer {
        effect: u64,
    },
    TakesLong {
        latency: u64,
    },
}

/// Something that happens besides deployments and faults.
#[derive(Clone, Debug)]
pub(crate) enum Turn {
    Out {
        ttl: Option<u64>,
    },
    In,
    ApplicationDown {
        lasts: u64,
    },
    PutBack {
        group: usize,
    },
    TakeAway {
        group: usize,
    },
    Notice {
        kind: NoticeKind,
        within: Option<u64>,
    },
    Withdraw,
    /// Elastigroup detaches the instance.
    Detach,
    Peers {
        group: usize,
        healthy: usize,
    },
    LongRequest {
        port: u16,
        lasts: u64,
    },
    /// The agent dies after this many actions of a step, before or after its memory was written.
    Crash {
        written: bool,
        actions: usize,
        down: u64,
    },
    Reboot {
        down: u64,
    },
}

const PORTS: [u16; 3] = [8080, 8081, 8082];

pub(crate) fn scenarios() -> impl Strategy<Value = Scenario> {
    let switches = (any::<bool>(), prop::bool::weighted(0.2), any::<bool>(), prop::bool::weighted(0.8));
    let happenings = (vec(group(), 1..=3), vec(deployment(), 0..=2), vec(fault(), 0..=4), vec(turns(), 0..=6));
    let elastigroup = prop::option::of((any::<bool>(), any::<bool>(), prop::bool::weighted(0.8)));
    (any::<u64>(), switches, prop::bool::weighted(0.8), elastigroup, happenings).prop_map(
        |(
            seed,
            (auto_owner, refuse_on_notice, return_when_withdrawn, countable),
            ends_in,
            elastigroup,
            (groups, deployments, faults, turns),
        )| {
            let turns = turns.into_iter().flat_map(|turns| turns.at(&deployments)).collect();
            Scenario {
                seed,
                auto_owner,
                refuse_on_notice,
                return_when_withdrawn,
                countable,
                ends_in,
                elastigroup: elastigroup.map(|(by_standby, suspends, registers)| ElastigroupPlan {
                    by_standby,
                    suspends,
                    registers,
                }),
                groups,
                deployments,
                faults,
                turns,
            }
        },
    )
}

fn group() -> impl Strategy<Value = GroupPlan> {
    let ports = prop::sample::subsequence(PORTS.to_vec(), 1..=2);
    let delay = prop::sample::select(vec![0, 3_000, 20_000, 60_000]);
    let peers = (0usize..=3).prop_flat_map(|peers| (Just(peers), 0..=peers));
    (ports, delay, 0u64..3_000, 0u64..10_000, peers).prop_map(
        |(ports, delay, lag, until_healthy, (peers, healthy_peers))| GroupPlan {
            ports,
            delay,
            lag,
            until_healthy,
            peers,
            healthy_peers,
        },
    )
}

fn deployment() -> impl Strategy<Value = DeploymentPlan> {
    let owner = prop_oneof![3 => Just(Owner::Pitcrew), 1 => Just(Owner::CodeDeploy)];
    let end = prop_oneof![
        3 => Just(End::Well),
        1 => (0usize..9).prop_map(|at| End::Silent { at }),
        1 => (0usize..9, 0u64..30_000).prop_map(|(at, after)| End::Stopped { at, after }),
    ];
    (0u64..120_000, owner, any::<bool>(), 100u64..10_000, 20_000u64..120_000, end, any::<bool>()).prop_map(
        |(start, owner, first, gap, patience, end, rolls_back)| DeploymentPlan {
            start,
            owner,
            first,
            gap,
            patience,
            end,
            rolls_back,
        },
    )
}

fn fault() -> impl Strategy<Value = Fault> {
    let api = prop::sample::select(vec![
        Api::LearnOwner,
        Api::LearnDeployment,
        Api::Discover,
        Api::Observe,
        Api::Change,
        Api::Change,
        Api::LastWords,
        Api::Elastigroup,
        Api::Elastigroup,
    ]);
    let how = prop_oneof![
        Just(How::Throttles),
        Just(How::FailsBefore),
        Just(How::Denies),
        prop_oneof![Just(0u64), 0u64..20_000].prop_map(|effect| How::LosesAnswer { effect }),
        (500u64..10_000).prop_map(|latency| How::TakesLong { latency }),
    ];
    (0u64..200_000, 1_000u64..60_000, api, how).prop_map(|(from, lasts, api, how)| Fault { from, lasts, api, how })
}

/// A turn, and perhaps its withdrawal a while later.
#[derive(Clone, Debug)]
struct Turns {
    /// At any time; or so long after the beginning of one of the deployments, where most is at stake.
    after: u64,
    deployment: Option<usize>,
    turn: Turn,
    withdrawn_after: Option<u64>,
}

impl Turns {
    fn at(self, deployments: &[DeploymentPlan]) -> impl Iterator<Item = (u64, Turn)> {
        let deployment = self.deployment.and_then(|n| deployments.get(n));
        let at = deployment.map_or(self.after, |deployment| deployment.start + self.after % 20_000);
        let withdrawn = self.withdrawn_after.map(|after| (at + after, Turn::Withdraw));
        iter::once((at, self.turn)).chain(withdrawn)
    }
}

fn turns() -> impl Strategy<Value = Turns> {
    let deployment = prop::option::of(0usize..2);
    (0u64..200_000, deployment, turn(), prop::option::of(500u64..10_000)).prop_map(
        |(after, deployment, turn, withdrawn_after)| Turns {
            withdrawn_after: withdrawn_after.filter(|_| matches!(turn, Turn::Notice { .. })),
            after,
            deployment,
            turn,
        },
    )
}

fn turn() -> impl Strategy<Value = Turn> {
    let kind = prop::sample::select(vec![
        NoticeKind::SpotTerminate,
        NoticeKind::SpotStop,
        NoticeKind::SpotHibernate,
        NoticeKind::Rebalance,
        NoticeKind::AutoScaling,
        NoticeKind::Shutdown,
    ]);
    let group = || 0usize..3;
    prop_oneof![
        1 => prop::option::of(1_000u64..60_000).prop_map(|ttl| Turn::Out { ttl }),
        1 => Just(Turn::In),
        2 => (1_000u64..40_000).prop_map(|lasts| Turn::ApplicationDown { lasts }),
        2 => group().prop_map(|group| Turn::PutBack { group }),
        1 => group().prop_map(|group| Turn::TakeAway { group }),
        2 => (kind, prop::option::of(0u64..150_000)).prop_map(|(kind, within)| Turn::Notice { kind, within }),
        1 => Just(Turn::Withdraw),
        1 => Just(Turn::Detach),
        2 => (group(), 0usize..3).prop_map(|(group, healthy)| Turn::Peers { group, healthy }),
        2 => (prop::sample::select(PORTS.to_vec()), 0u64..60_000)
            .prop_map(|(port, lasts)| Turn::LongRequest { port, lasts }),
        4 => (prop::bool::weighted(0.8), 0usize..4, 100u64..20_000)
            .prop_map(|(written, actions, down)| Turn::Crash { written, actions, down }),
        1 => (10_000u64..60_000).prop_map(|down| Turn::Reboot { down }),
    ]
}
