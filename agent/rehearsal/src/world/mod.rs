//! The stand-in world: what AWS knows and answers, as state machines behind one router.
//!
//! Nothing here opens a socket. [`crate::endpoint`] puts real listeners in front of [`World::router`]; an in-process
//! rehearsal calls it directly.

pub mod calls;
pub mod codedeploy;
pub mod elastigroup;
pub mod faults;
pub mod identity;
pub mod imds;
pub mod policy;
pub mod targets;

mod access;
mod autoscaling;
mod commands;
mod deployments;
mod ec2;
mod elbv2;
mod metrics;
mod notices;
mod operation;
mod prerequisites;
mod router;
mod routing;
mod ssm;
mod traffic_control;
mod wire;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use serde::Serializer;
use tokio::sync::watch;

use crate::balancer::routing::{CheckPlan, Routing};
use crate::clock::WorldClock;
use crate::filled::filled;
use crate::lock::lock;
use crate::seat::{Dirs, Seat};
use crate::timeline::{Happening, Timeline};

use autoscaling::AutoScaling;
use calls::Call;
use codedeploy::CodeDeploy;
use commands::Tracked;
use elastigroup::{Elastigroup, GroupPlan};
use elbv2::LoadBalancing;
use faults::Fault;
use identity::{ACCOUNT, Identity, REGION, SessionKeys};
use imds::Imds;
use policy::Policy;
use routing::GroupRouting;
use ssm::SystemsManager;
use targets::{GroupSettings, TargetGroup, TargetHealth, TargetId};

pub use autoscaling::Proceeds;
pub use notices::{MetadataTrouble, NoticeRecord};
pub use router::Origin;
pub use traffic_control::Moved;

/// The target group behind the load balancer.
pub const TARGET_GROUP: &str = "sample-web";
/// A target group without a listener and without targets.
const SPARE_GROUP: &str = "sample-spare";

/// What a world is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Everything random follows from it.
    pub seed: u64,
    /// Third octet of the world's addresses, `127.77.<district>.0`; 0 in a simulated rehearsal.
    pub district: u8,
    /// Instances that are deployed to; one more only carries traffic.
    pub instances: u8,
    /// `deregistration_delay.timeout_seconds` of the target group.
    pub deregistration_delay: Duration,
    /// How AWS endpoints misbehave.
    pub fault: Option<Fault>,
    /// The Elastigroup of the instances that are deployed to, where they are in one.
    pub elastigroup: Option<GroupPlan>,
    /// How soon agents ask after a silent deployment; `None`: as they are shipped.
    pub ask_after: Option<Duration>,
    /// An action that the instances' roles do not allow, though the shipped policy does.
    pub denied: Option<String>,
}

/// The stand-in world.
pub struct World {
    /// Its clock.
    pub clock: WorldClock,
    /// Its instances, in order.
    pub seats: Vec<Seat>,
    /// What happened in it.
    pub timeline: Timeline,
    /// Where it is.
    pub addresses: Addresses,
    /// The Elastigroup, where there is one.
    pub elastigroup_plan: Option<GroupPlan>,
    /// How soon its agents ask after a silent deployment; `None`: as they are shipped.
    pub ask_after: Option<Duration>,
    state: Mutex<State>,
}

/// The addresses of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// `AWS_ENDPOINT_URL`
    pub aws: SocketAddr,
    /// The load balancer's listener.
    pub balancer: SocketAddr,
    /// Where the load balancer connects from.
    pub balancer_node: IpAddr,
    /// Where the load comes from.
    pub clients: IpAddr,
}

struct State {
    rng: Rng,
    imds: BTreeMap<u8, Imds>,
    balancing: LoadBalancing,
    codedeploy: CodeDeploy,
    scaling: AutoScaling,
    elastigroup: Option<Elastigroup>,
    systems: SystemsManager,
    /// What instances' roles allow, and operators'.
    policies: (Policy, Policy),
    notices: Vec<NoticeRecord>,
    troubles: Vec<MetadataTrouble>,
    fault: Option<Fault>,
    calls: Vec<Call>,
    /// When each instance has asked its metadata service: so often that no more is kept of it.
    metadata_asked: BTreeMap<u8, Vec<Duration>>,
    /// Changes with each call to AWS.
    turn: watch::Sender<()>,
    tracked: Tracked,
}

impl Addresses {
    /// The addresses of a district.
    pub(crate) fn of_district(district: u8) -> Self {
        let host = |last| IpAddr::V4(Ipv4Addr::new(127, 77, district, last));
        Self {
            aws: SocketAddr::new(host(254), 4566),
            balancer: SocketAddr::new(host(253), 8000),
            balancer_node: IpAddr::V4(Ipv4Addr::new(127, 77, 255, 1)),
            clients: host(252),
        }
    }
}

impl World {
    /// A world in which every instance has long been healthy in the target group; with a disk below `home` where given.
    pub fn new(plan: &Plan, clock: WorldClock, home: Option<&Path>, timeline: Timeline) -> Self {
        let mut rng = Rng::with_seed(plan.seed);
        let addresses = Addresses::of_district(plan.district);
        let seats: Vec<Seat> = (1..=plan.instances.saturating_add(1))
            .map(|number| {
                let id = format!("i-0{:016x}", rng.u64(..));
                let mut seat = Seat::new(plan.district, number, id, number <= plan.instances);
                seat.dirs = home.map(|home| Dirs::below(home.join(format!("instance-{number}"))));
                seat
            })
            .collect();
        let imds = filled(seats.iter().map(|seat| (seat.number, Imds::new(Identity::new(seat, clock.wall())))));
        let balancing = load_balancing(plan, addresses, &seats);
        let elastigroup = plan.elastigroup.clone().map(|plan| {
            let token = format!("{:032x}{:032x}", rng.u128(..), rng.u128(..));
            let members = seats.iter().filter(|seat| seat.deployed_to).map(|seat| {
                let own = balancing.from_the_start.iter().filter(|(_, target)| target.id == seat.instance_id);
                (seat.number, seat.instance_id.clone(), own.cloned().collect())
            });
            Elastigroup::new(plan, clock.now(), token, members)
        });
        let online = seats.iter().map(|seat| seat.instance_id.clone()).collect();
        Self {
            clock,
            seats,
            timeline,
            addresses,
            elastigroup_plan: plan.elastigroup.clone(),
            ask_after: plan.ask_after,
            state: Mutex::new(State {
                rng,
                imds,
                balancing,
                codedeploy: CodeDeploy::default(),
                scaling: AutoScaling::default(),
                elastigroup,
                systems: SystemsManager::seeing(online),
                policies: (policy_of_agents(plan), Policy::operator()),
                notices: Vec::new(),
                troubles: Vec::new(),
                fault: plan.fault,
                calls: Vec::new(),
                metadata_asked: BTreeMap::new(),
                turn: watch::Sender::new(()),
                tracked: Tracked::default(),
            }),
        }
    }

    /// Adds to the timeline, now.
    pub fn happened(&self, instance: Option<u8>, what: Happening) {
        self.timeline.add(self.clock.elapsed(), instance, what);
    }

    /// A random number below `limit` from the world's seed.
    pub fn draw(&self, limit: u64) -> u64 {
        lock(&self.state).rng.u64(..limit.max(1))
    }

    /// When an instance has asked its metadata service, since the world came up.
    pub(crate) fn metadata_asked(&self, seat: &Seat) -> Vec<Duration> {
        lock(&self.state).metadata_asked.get(&seat.number).cloned().unwrap_or_default()
    }

    /// Every call so far, but for those of the metadata services.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.state).calls.clone()
    }

    /// The seat with this number.
    pub fn seat(&self, number: u8) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.number == number)
    }

    /// The target groups' view of an instance: group name, target, health; registered targets only.
    pub fn target_health(&self, seat: &Seat) -> Vec<(String, TargetId, TargetHealth)> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        let groups = state.balancing.groups.iter_mut();
        groups
            .flat_map(|group| {
                let name = group.settings.name.clone();
                group
                    .all_health(now)
                    .into_iter()
                    .filter(|(target, _)| target.id == seat.instance_id)
                    .map(move |(target, health)| (name.clone(), target, health))
            })
            .collect()
    }

    /// What was registered for this instance when the world came up: group name and target.
    pub(crate) fn registered_from_the_start(&self, seat: &Seat) -> Vec<(String, TargetId)> {
        let state = lock(&self.state);
        let all = state.balancing.from_the_start.iter();
        all.filter(|(_, target)| target.id == seat.instance_id).cloned().collect()
    }

    /// Groups whose data plane sends new requests to this instance now.
    pub fn in_traffic(&self, seat: &Seat) -> Vec<String> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        let groups = state.balancing.groups.iter_mut();
        groups
            .filter_map(|group| {
                let serving = group.routes(now).iter().any(|route| {
                    route.endpoint.ip() == seat.address && route.stance == crate::balancer::routing::Stance::Serving
                });
                serving.then(|| group.settings.name.clone())
            })
            .collect()
    }

    /// ARN of a target group.
    pub fn target_group_arn(&self, name: &str) -> Option<String> {
        let state = lock(&self.state);
        let mut settings = state.balancing.groups.iter().map(|group| &group.settings);
        settings.find(|group| group.name == name).map(|group| group.arn.clone())
    }

    /// Keys for whoever uses a world that is held open.
    pub fn operator_keys(&self) -> SessionKeys {
        SessionKeys::of_operator(self.clock.wall() + Duration::from_secs(12 * 3600))
    }

    /// The control plane of a target group, for its data plane.
    pub fn routing(self: &Arc<Self>, group: &str) -> Arc<dyn Routing> {
        Arc::new(GroupRouting { world: Arc::clone(self), group: group.to_owned() })
    }
}

fn load_balancing(plan: &Plan, addresses: Addresses, seats: &[Seat]) -> LoadBalancing {
    let arn = |kind: &str| format!("arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:{kind}");
    let balancer = arn("loadbalancer/app/sample/50dc6c495c0c9188");
    let settings = |name: &str, id: &str, load_balancer| GroupSettings {
        name: name.to_owned(),
        arn: arn(&format!("targetgroup/{name}/{id}")),
        port: 8080,
        load_balancer,
        deregistration_delay: plan.deregistration_delay,
        check: CheckPlan {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            path: "/health".to_owned(),
            matcher: 200..=200,
        },
        healthy_threshold: 2,
        unhealthy_threshold: 2,
    };
    let mut web = TargetGroup::new(settings(TARGET_GROUP, "73e2d6bc24d8a067", Some(balancer)));
    let spare = TargetGroup::new(settings(SPARE_GROUP, "2453ed029918f21f", None));
    let mut from_the_start = Vec::new();
    for seat in seats {
        let target = TargetId { id: seat.instance_id.clone(), port: seat.application.port() };
        let is_new = plan.elastigroup.as_ref().is_some_and(|group| group.launches && group.ready.is_some());
        if !(is_new && seat.deployed_to) {
            web.place_healthy(target.clone(), seat.address);
        }
        from_the_start.push((TARGET_GROUP.to_owned(), target));
    }
    LoadBalancing {
        groups: vec![spare, web],
        instances: filled(seats.iter().map(|seat| (seat.instance_id.clone(), seat.address))),
        from_the_start,
        listener: (format!("internal-sample-1234567890.{REGION}.elb.amazonaws.com"), addresses.balancer.port()),
    }
}

fn policy_of_agents(plan: &Plan) -> Policy {
    match &plan.denied {
        Some(action) => Policy::agent().without(action),
        None => Policy::agent(),
    }
}

/// Writes a duration as seconds with milliseconds.
pub(crate) fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    #[expect(clippy::cast_precision_loss, reason = "a rehearsal's milliseconds fit 52 bits")]
    let seconds = duration.as_millis() as f64 / 1000.0;
    serializer.serialize_f64(seconds)
}

/// Writes a duration that may be absent.
#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
pub(crate) fn optional_seconds<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => seconds(duration, serializer),
        None => serializer.serialize_none(),
    }
}
