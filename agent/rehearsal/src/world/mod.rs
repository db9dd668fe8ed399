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
mod ec2;
mod elbv2;
mod metrics;
mod notices;
mod operation;
mod prerequisites;
mod routing;
mod ssm;
mod traffic_control;
mod wire;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::{Request, Response, StatusCode};
use serde::Serializer;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

use crate::balancer::routing::{CheckPlan, Routing};
use crate::clock::WorldClock;
use crate::lifecycle::LifecycleEvent;
use crate::lock::lock;
use crate::seat::{Dirs, Seat};
use crate::timeline::{Happening, Timeline};

use autoscaling::AutoScaling;
use calls::{Call, Caller, Effect};
use codedeploy::{CodeDeploy, Creator, DeploymentGroup, DeploymentStatus, Diagnostics, StoppedTarget};
use commands::Tracked;
use elastigroup::{Elastigroup, GroupPlan};
use elbv2::LoadBalancing;
use faults::{Fate, Fault};
use identity::{ACCOUNT, Identity, REGION, SessionKeys};
use imds::{Arrival, Imds};
use operation::{Operation, Reply};
use policy::Policy;
use routing::GroupRouting;
use ssm::SystemsManager;
use targets::{GroupSettings, TargetGroup, TargetHealth, TargetId};
use wire::ApiError;

pub use autoscaling::Proceeds;
pub use notices::{MetadataTrouble, NoticeRecord};
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

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Asked of the metadata service of the instance with this number.
    Imds(u8),
    /// Asked of the AWS endpoint that all services share.
    Aws,
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
    /// Changes with each call to AWS.
    turn: watch::Sender<()>,
    tracked: Tracked,
}

impl Addresses {
    /// The addresses of a district.
    pub fn of_district(district: u8) -> Self {
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
        let imds = seats.iter().map(|seat| (seat.number, Imds::new(Identity::new(seat, clock.wall())))).collect();
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
                turn: watch::Sender::new(()),
                tracked: Tracked::default(),
            }),
        }
    }

    /// Answers a request to a metadata service or to AWS. Slow only where a fault makes it so.
    pub async fn router(&self, origin: Origin, request: Request<Bytes>) -> Response<Bytes> {
        match origin {
            Origin::Imds(number) => self.metadata(number, &request).await,
            Origin::Aws if request.uri().path().starts_with(elastigroup::PREFIX) => self.elastigroup(&request).await,
            Origin::Aws => self.aws(&request).await,
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

    /// Every call so far.
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
    pub fn registered_from_the_start(&self, seat: &Seat) -> Vec<(String, TargetId)> {
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

    async fn metadata(&self, number: u8, request: &Request<Bytes>) -> Response<Bytes> {
        let at = Arrival { now: self.clock.now(), wall: self.clock.wall() };
        let path = request.uri().path();
        let (answer, told) = {
            let mut state = lock(&self.state);
            state.tag_members(at.now);
            let State { rng, imds, .. } = &mut *state;
            let answer = match imds.get_mut(&number) {
                Some(imds) => imds.answer(at, request, rng),
                None => Ok(plain(StatusCode::NOT_FOUND)),
            };
            let status = answer.as_ref().map_or(StatusCode::REQUEST_TIMEOUT, Response::status);
            let arrived = self.clock.since_start(at.now);
            let is_told =
                answer.as_ref().is_ok_and(|answer| answer.status() == StatusCode::OK && !answer.body().is_empty());
            let told = if is_told { state.told(number, path, arrived) } else { None };
            state.calls.push(Call {
                at: arrived,
                caller: Caller::Instance(number),
                service: "imds",
                action: path.to_owned(),
                status: status.as_u16(),
                error: None,
                effects: Vec::new(),
            });
            (answer, told)
        };
        if let Some(action) = told {
            self.happened(Some(number), Happening::NoticeRead { action });
        }
        match answer {
            Ok(answer) => answer,
            Err(until) => {
                sleep_until(until).await;
                plain(StatusCode::REQUEST_TIMEOUT)
            }
        }
    }

    async fn aws(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let Some(operation) = Operation::read(request) else {
            return plain(StatusCode::NOT_FOUND);
        };
        let caller = identity::caller(request.headers(), self.clock.wall());
        let fate = {
            let mut state = lock(&self.state);
            let State { rng, fault, .. } = &mut *state;
            match (&caller, *fault) {
                (Ok(Caller::Instance(_)), Some(fault)) => fault.fate(operation.action(), rng),
                (Ok(_) | Err(_), Some(_) | None) => Fate::Answered,
            }
        };
        if let Fate::AnsweredAfter(delay) = fate {
            sleep(delay).await;
        }
        self.answer(&operation, caller, fate)
    }

    fn answer(&self, operation: &Operation, caller: Result<Caller, identity::Refusal>, fate: Fate) -> Response<Bytes> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        state.tag_members(now);
        let request_id = request_id(&mut state.rng);
        let who = caller.unwrap_or(Caller::Unknown);
        let refused = caller
            .err()
            .map(|(code, message)| ApiError::new(StatusCode::FORBIDDEN, code, message))
            .or_else(|| fate.error(who, operation))
            .or_else(|| self.forbidden(&state, who, operation));
        let mut effects = Vec::new();
        let result = match refused {
            Some(error) => Err(error),
            None => state.carry_out(now, operation, &mut effects),
        };
        let response = operation.reply(&request_id, &result);
        state.calls.push(Call {
            at: self.clock.since_start(now),
            caller: who,
            service: operation.service(),
            action: operation.action().to_owned(),
            status: response.status().as_u16(),
            error: result.as_ref().err().map(|error| error.code.to_owned()),
            effects: effects.clone(),
        });
        state.turn.send_replace(());
        drop(state);
        self.tell_of_call(who, operation.action(), result.err(), effects);
        response
    }

    /// Whether the caller's policy does not allow the call.
    fn forbidden(&self, state: &State, caller: Caller, operation: &Operation) -> Option<ApiError> {
        let (policy, instance) = match caller {
            Caller::Instance(number) => (&state.policies.0, self.seat(number).map(|seat| seat.instance_id.as_str())),
            Caller::LimitedOperator => (&state.policies.1, None),
            Caller::CodeDeploy | Caller::Operator | Caller::Unknown => return None,
        };
        let action = format!("{}:{}", operation.service(), operation.action());
        let request = policy::Request { caller: instance, ..access::request(operation, &action, state) };
        (!policy.allows(&request)).then(|| operation.access_denied(&caller.to_string()))
    }

    fn tell_of_call(&self, caller: Caller, action: &str, error: Option<ApiError>, effects: Vec<Effect>) {
        let by = match caller {
            Caller::Instance(_) => "agent".to_owned(),
            Caller::CodeDeploy | Caller::Operator | Caller::LimitedOperator | Caller::Unknown => caller.to_string(),
        };
        if let Some(error) = error {
            let instance = match caller {
                Caller::Instance(number) => Some(number),
                Caller::CodeDeploy | Caller::Operator | Caller::LimitedOperator | Caller::Unknown => None,
            };
            self.happened(
                instance,
                Happening::CallFailed {
                    action: action.to_owned(),
                    status: error.status.as_u16(),
                    code: error.code.to_owned(),
                },
            );
        }
        for effect in effects {
            self.tell_of_effect(effect, by.clone());
        }
    }

    fn tell_of_effect(&self, effect: Effect, by: String) {
        match effect {
            Effect::Registered { group, target, changed: true, .. } => {
                self.happened(self.number_of(&target.id), Happening::TargetRegistered { group, target, by })
            }
            Effect::Deregistered { group, target, changed: true, .. } => {
                self.happened(self.number_of(&target.id), Happening::TargetDeregistered { group, target, by })
            }
            Effect::Registered { changed: false, .. } | Effect::Deregistered { changed: false, .. } => {}
        }
    }

    fn number_of(&self, instance_id: &str) -> Option<u8> {
        let seat = self.seats.iter().find(|seat| seat.instance_id == instance_id);
        seat.map(|seat| seat.number)
    }
}

impl State {
    /// Elastigroup's tags may come later than the instances.
    fn tag_members(&mut self, now: tokio::time::Instant) {
        let Some(tags) = self.elastigroup.as_ref().and_then(|group| group.tags(now)) else { return };
        for imds in self.imds.values_mut() {
            imds.tags.extend(tags.clone());
        }
    }

    /// Answers a call that nothing stands in the way of.
    fn carry_out(
        &mut self,
        now: tokio::time::Instant,
        operation: &Operation,
        effects: &mut Vec<Effect>,
    ) -> Result<Reply, ApiError> {
        match operation {
            Operation::LoadBalancing { action, form } => {
                let done = self.balancing.call(now, action, form, &mut self.rng)?;
                *effects = done.effects;
                Ok(Reply::Xml(done.result))
            }
            Operation::Classic { action } => elbv2::classic(action).map(Reply::Xml),
            Operation::AutoScaling { action, form } => self.scaling.call(now, action, form).map(Reply::Xml),
            Operation::Ec2 { action, form } => ec2::call(&mut self.imds, action, form).map(Reply::Xml),
            Operation::CodeDeploy { action, input } => self.codedeploy.call(action, input).map(Reply::Json),
            Operation::Parameter { name } => match &self.elastigroup {
                Some(group) if name == elastigroup::TOKEN_PARAMETER => {
                    let parameter = serde_json::json!({ "Name": name, "Type": "SecureString", "Value": group.token });
                    Ok(Reply::Json(serde_json::json!({ "Parameter": parameter })))
                }
                Some(_) | None => Err(ApiError::sender("ParameterNotFound", "")),
            },
            Operation::Systems { action, input } => self.systems.call(action, input).map(Reply::Json),
            Operation::Metrics { action, form } => metrics::call(action, form).map(Reply::Xml),
        }
    }
}

/// What CodeDeploy's service and host agent tell the world.
impl World {
    /// Makes a deployment group known.
    pub fn add_deployment_group(&self, group: DeploymentGroup) {
        lock(&self.state).codedeploy.add_group(group);
    }

    /// Opens a deployment of `revision` on these instances and returns its id.
    pub fn create_deployment(
        &self,
        group: &DeploymentGroup,
        revision: &str,
        creator: Creator,
        instances: &[String],
    ) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        let mut state = lock(&self.state);
        let tail: String = (0..9).map(|_| char::from(LETTERS[state.rng.usize(..LETTERS.len())])).collect();
        let id = format!("d-{tail}");
        let wall = self.clock.wall();
        state.codedeploy.create(wall, id.clone(), group, (revision.to_owned(), creator), instances);
        id
    }

    /// An event began on an instance.
    pub fn event_began(&self, seat: &Seat, deployment: &str, event: LifecycleEvent) {
        let wall = self.clock.wall();
        lock(&self.state).codedeploy.event_began(wall, deployment, &seat.instance_id, event);
    }

    /// An event ended on an instance.
    pub fn event_ended(&self, seat: &Seat, deployment: &str, event: LifecycleEvent, failure: Option<Diagnostics>) {
        let wall = self.clock.wall();
        lock(&self.state).codedeploy.event_ended(wall, deployment, &seat.instance_id, event, failure);
    }

    /// An operator stops a deployment: the event under way ends, and no other begins. What CodeDeploy says of its
    /// instances until then is not documented; the seed chooses.
    pub fn stop_deployment(&self, deployment: &str) {
        let wall = self.clock.wall();
        let mut state = lock(&self.state);
        let said = match state.rng.u8(..3) {
            0 => StoppedTarget::SkippedAtOnce,
            1 => StoppedTarget::FailedWithItsEvent,
            _ => StoppedTarget::InProgressForEver,
        };
        state.codedeploy.stop(wall, deployment, said);
    }

    /// A deployment is over; `failed` says why it is not a success.
    pub fn finish_deployment(&self, deployment: &str, failed: Option<String>) {
        let wall = self.clock.wall();
        lock(&self.state).codedeploy.finish(wall, deployment, failed);
    }

    /// The status of a deployment.
    pub fn deployment_status(&self, deployment: &str) -> Option<DeploymentStatus> {
        lock(&self.state).codedeploy.status(deployment)
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
        instances: seats.iter().map(|seat| (seat.instance_id.clone(), seat.address)).collect(),
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

fn request_id(rng: &mut Rng) -> String {
    let (high, low) = (rng.u64(..), rng.u64(..));
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

fn plain(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
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
