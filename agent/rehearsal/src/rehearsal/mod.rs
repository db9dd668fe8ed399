//! Plays one rehearsal: the world is up, load runs, a deployment rolls, and what happened is judged.

pub mod chaos;

mod deployment;
mod dying;
mod group;
mod interrupt;
mod options;
mod stage;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::bundle::{Bundle, BundleError};
use crate::crew::{Crew, Services};
use crate::host_agent::{HostAgent, Order};
use crate::interruption::{Interruption, Moment};
use crate::load::{self, Load, Slow};
use crate::lock::lock;
use crate::net::Net;
use crate::seat::Seat;
use crate::timeline::Happening;
use crate::verdict::{self, Evidence, LastSight, Report};
use crate::world::codedeploy::{Creator, DeploymentGroup};
use crate::world::{Moved, TARGET_GROUP, World};

pub use deployment::Ended;
pub use dying::Aftermath;
pub use options::{Group, Hooks, Options, Owner};
pub use stage::Stage;

use deployment::{Disturbance, Rollout};
use interrupt::Fate;

/// How long an application may take until it answers for the first time.
const CURTAIN: Duration = Duration::from_secs(30);
/// Load runs this long before a deployment, and after everything has settled.
const BESIDE: Duration = Duration::from_secs(2);
/// Everything must have settled this long after the last deployment.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);
/// After a failure nothing may change for this long: longer than an agent waits before it asks CodeDeploy.
const CALM_AFTER_FAILURE: Duration = Duration::from_secs(6);

/// An application that died in standby has a minute to get well before standby ends.
const CALM_IN_STANDBY: Duration = Duration::from_secs(75);

/// So many lost requests are told one by one.
const LOSSES_TOLD: u64 = 5;

/// Who plays: the world, its instances' service managers and host agents, and the crew.
pub(crate) struct Company {
    pub(crate) world: Arc<World>,
    pub(crate) crew: Arc<dyn Crew>,
    services: BTreeMap<u8, Services>,
    hosts: BTreeMap<u8, HostAgent>,
    /// By instance: whether it is gone.
    gone: BTreeMap<u8, watch::Sender<bool>>,
    /// Scripts that outlived their host agent.
    orphans: Mutex<JoinSet<()>>,
}

impl Company {
    fn new(options: &Options, stage: &Stage, crew: Arc<dyn Crew>) -> Self {
        let world = Arc::clone(&stage.world);
        let release = options.previous().release();
        let mut services = BTreeMap::new();
        let mut hosts = BTreeMap::new();
        for seat in &world.seats {
            let manager = Services::new(
                seat.clone(),
                Arc::clone(&world),
                Arc::clone(&crew),
                Arc::clone(&stage.net),
                release.clone(),
                options.warm_up,
            );
            let generation = options.host_agent;
            let host = HostAgent::new(seat.clone(), Arc::clone(&world), Arc::clone(&crew), manager.clone(), generation);
            services.insert(seat.number, manager);
            hosts.insert(seat.number, host);
        }
        let gone = world.seats.iter().map(|seat| (seat.number, watch::Sender::new(false))).collect();
        Self { world, crew, services, hosts, gone, orphans: Mutex::default() }
    }

    pub(crate) fn services(&self, number: u8) -> Option<&Services> {
        self.services.get(&number)
    }

    /// Lets what nobody waits for run to its end, or to that of the rehearsal.
    pub(crate) fn leave_behind(&self, orphan: impl Future<Output = ()> + Send + 'static) {
        lock(&self.orphans).spawn(orphan);
    }

    pub(crate) fn host(&self, number: u8) -> Option<&HostAgent> {
        self.hosts.get(&number)
    }

    /// Whether the instance was taken away.
    pub(crate) fn is_gone(&self, number: u8) -> bool {
        self.gone.get(&number).is_some_and(|gone| *gone.borrow())
    }

    /// Ends when the instance is taken away.
    pub(crate) async fn gone(&self, number: u8) {
        let Some(gone) = self.gone.get(&number) else {
            return std::future::pending().await;
        };
        if gone.subscribe().wait_for(|gone| *gone).await.is_err() {
            std::future::pending().await
        }
    }

    /// Takes the instance away with everything that runs on it.
    pub(crate) async fn take_away(&self, seat: &Seat) {
        if let Some(gone) = self.gone.get(&seat.number) {
            gone.send_replace(true);
        }
        if let Some(services) = self.services.get(&seat.number)
            && let Err(error) = services.vanish().await
        {
            let note = format!("the application did not stop: {error:#}");
            self.world.happened(Some(seat.number), Happening::Noted { note });
        }
        // Where no agent runs, there is none to be taken away.
        let _ = self.crew.kill_agent(seat).await;
        self.tell_of_drain_scripts(seat);
        self.world.take_away(seat);
    }

    /// What the `drain.d` of an instance with a disk has written there.
    fn tell_of_drain_scripts(&self, seat: &Seat) {
        let Some(dirs) = &seat.dirs else { return };
        // No file: nothing has run.
        let text = std::fs::read_to_string(dirs.drain_log()).unwrap_or_default();
        for line in text.lines() {
            let (name, why) = line.split_once(' ').unwrap_or((line, ""));
            let what = Happening::DrainScriptRan { name: name.to_owned(), why: why.to_owned() };
            self.world.happened(Some(seat.number), what);
        }
    }

    /// Starts the agent of an instance and says how that went.
    pub(crate) async fn start_agent(&self, seat: &Seat) -> bool {
        let started = self.crew.start_agent(seat).await;
        let ready = started.is_ok();
        let what = match started {
            Ok(()) => Happening::AgentStarted,
            Err(error) => Happening::AgentFailed { reason: format!("{error:#}") },
        };
        self.world.happened(Some(seat.number), what);
        ready
    }
}

/// Hears how far the load is; called a few times a second in a real rehearsal.
pub type OnProgress = dyn Fn(Duration, load::Progress) + Send + Sync;

/// Plays a rehearsal on a stage that is up, and judges it.
///
/// Fails when it could not be played at all: no application starts, an agent does not get ready.
pub async fn run(
    options: &Options,
    stage: &Stage,
    crew: Arc<dyn Crew>,
    on_progress: Option<Arc<OnProgress>>,
) -> anyhow::Result<Report> {
    let company = open(options, stage, crew).await?;
    let world = &stage.world;
    let load = start_load(options, stage)?;
    let _group = group::lives(&company);
    let play = async {
        let Played { deployments, aftermath } = main_part(options, &company).await?;
        let failed = deployments.iter().any(|ended| !ended.failed_on.is_empty());
        let settled = settle(&company, failed).await;
        sleep(BESIDE).await;
        while load.progress().sent < options.requests {
            sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok((deployments, aftermath, settled))
    };
    let (deployments, aftermath, settled) = match on_progress {
        Some(on_progress) => with_progress(world, &load, &*on_progress, play).await?,
        None => play.await?,
    };
    let load_started = world.clock.since_start(load.started());
    let load = load.stop().await;
    world.happened(None, Happening::LoadEnded { sent: load.sent, lost: load.lost });
    let last_sight = last_sight(&company, options.agents).await;
    // Judged before the curtain: an agent that is stopped may well leave traffic.
    let report = verdict::judge(Evidence {
        options,
        world,
        load,
        load_started,
        deployments,
        aftermath,
        settled,
        last_sight,
        simulated: stage.sim.is_some(),
    });
    close(&company, options.agents).await;
    Ok(report)
}

async fn with_progress<T>(world: &World, load: &Load, on_progress: &OnProgress, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = sleep(Duration::from_millis(250)) => on_progress(world.clock.elapsed(), load.progress()),
        }
    }
}

/// Brings the world to the state before the deployment: applications answer, the previous revision is installed,
/// agents are ready.
pub(crate) async fn open(options: &Options, stage: &Stage, crew: Arc<dyn Crew>) -> anyhow::Result<Arc<Company>> {
    let world = &stage.world;
    world.happened(
        None,
        Happening::WorldUp {
            instances: options.instances + 1,
            seed: options.seed,
            balancer: world.addresses.balancer.to_string(),
        },
    );
    let company = Arc::new(Company::new(options, stage, crew));
    for services in company.services.values() {
        services.start().await.context("starting the application")?;
    }
    for (number, services) in &company.services {
        let answers = async {
            while services.healthy_release().await.is_none() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        if timeout(CURTAIN, answers).await.is_err() {
            bail!("the application on instance {number} did not answer within {CURTAIN:?}");
        }
    }
    world.add_deployment_group(main_group(options));
    world.add_deployment_group(sidecar_group());
    let previous = Arc::new(options.previous());
    for seat in world.seats.iter().filter(|seat| seat.deployed_to) {
        if !options.first {
            install_previous(&company, seat, main_group(options), Arc::clone(&previous)).await?;
        }
        if options.agents && !company.start_agent(seat).await {
            bail!("the agent on instance {} did not get ready (see above)", seat.number);
        }
    }
    Ok(company)
}

async fn install_previous(
    company: &Company,
    seat: &Seat,
    group: DeploymentGroup,
    revision: Arc<Bundle>,
) -> anyhow::Result<()> {
    let order = Order { deployment: "d-PREVIOUS0".to_owned(), group, revision, ignores_stop_failures: false };
    match company.host(seat.number) {
        Some(host) => match host.preinstall(&order).await {
            Ok(()) => Ok(()),
            Err(diagnostics) => bail!("installing the previous revision: {}", diagnostics.message),
        },
        None => Ok(()),
    }
}

fn main_group(options: &Options) -> DeploymentGroup {
    DeploymentGroup {
        application: "sample".to_owned(),
        name: "sample-fleet".to_owned(),
        id: "5e1f0c5a-0000-4000-8000-000000000001".to_owned(),
        controls_traffic: match options.owner {
            Owner::Pitcrew | Owner::Elastigroup => None,
            Owner::CodeDeploy => Some(TARGET_GROUP.to_owned()),
        },
        in_place: true,
    }
}

fn sidecar_group() -> DeploymentGroup {
    DeploymentGroup {
        application: "sidecar".to_owned(),
        name: "sidecar-fleet".to_owned(),
        id: "5e1f0c5a-0000-4000-8000-000000000002".to_owned(),
        controls_traffic: None,
        in_place: true,
    }
}

fn start_load(options: &Options, stage: &Stage) -> anyhow::Result<Load> {
    let addresses = stage.world.addresses;
    let slowest = options.slow_requests.unwrap_or_default();
    let plan = load::Plan {
        from: addresses.clients,
        to: addresses.balancer,
        path: "/".to_owned(),
        rate: f64::from(options.rate),
        slow: options.slow_requests.map(|up_to| Slow { share: 0.05, up_to }),
        timeout: Duration::from_secs(10) + slowest,
        seed: options.seed,
        // A chaotic world may last for hours, and nobody looks at its seconds.
        by_second: options.chaos.is_none(),
    };
    let net: Arc<dyn Net> = Arc::clone(&stage.net);
    let (world, told) = (Arc::clone(&stage.world), AtomicU64::new(0));
    let tell_losses = move |outcome: &load::Outcome| match &outcome.answer {
        load::Answer::Lost { cause, target } => {
            if told.fetch_add(1, Ordering::Relaxed) < LOSSES_TOLD {
                let (cause, target) = (cause.clone(), target.clone());
                world.happened(None, Happening::RequestLost { cause, target });
            }
        }
        load::Answer::Served { .. } => {}
    };
    let load = Load::start(net, plan, tell_losses).context("starting the load")?;
    stage.world.happened(None, Happening::LoadStarted { per_second: options.rate });
    Ok(load)
}

/// What was played while the load ran.
#[derive(Debug, Default)]
struct Played {
    deployments: Vec<Ended>,
    /// What became of the instance on which a deployment died.
    aftermath: Option<Aftermath>,
}

/// What the load is there for: deployments, or the end of an idle instance.
async fn main_part(options: &Options, company: &Arc<Company>) -> Result<Played, BundleError> {
    let world = &company.world;
    if let Some(plan) = &options.chaos {
        let deployments = chaos::play(plan, options, company).await?;
        return Ok(Played { deployments, aftermath: None });
    }
    let fate = Fate::of(options);
    let first = world.seats.first().cloned();
    if let (Some(fate), Some(seat)) = (fate, &first)
        && let Interruption { at: Moment::Idle(after), .. } = fate.interruption
    {
        interrupt::strike_idle(Arc::clone(company), seat.clone(), fate, after).await;
        return Ok(Played::default());
    }
    if let Some((wish, Moment::Idle(after))) = options.elastigroup.as_ref().and_then(|group| group.wish) {
        sleep(after).await;
        group::wants(Arc::clone(company), wish).await;
        return Ok(Played::default());
    }
    if let (Some(fault), None, Some(seat)) = (options.metadata_fault, options.interruption, &first) {
        world.trouble_metadata(seat, fault, interrupt::TROUBLE);
    }
    sleep(BESIDE).await;
    deploy(options, company).await
}

async fn deploy(options: &Options, company: &Arc<Company>) -> Result<Played, BundleError> {
    let seats: Vec<_> = company.world.seats.iter().filter(|seat| seat.deployed_to).cloned().collect();
    let first: Vec<_> = seats.iter().take(1).cloned().collect();
    let kill = options.kill_agent_at.clone().filter(|_| options.agents);
    let wish = options.elastigroup.as_ref().and_then(|group| group.wish);
    let disturbance = Disturbance { kill, fate: Fate::of(options), wish, death: options.death };
    let rollout = Rollout::new(main_group(options), options.revision());
    let main = deployment::roll(Arc::clone(company), seats.clone(), rollout, disturbance);
    if options.death.is_some() {
        let main = main.await;
        return Ok(deploy_again(options, company, seats, main).await);
    }
    if !options.overlap {
        return Ok(Played { deployments: vec![main.await], aftermath: None });
    }
    let sidecar = Bundle::sidecar()?;
    let beside = {
        let company = Arc::clone(company);
        async move {
            sleep(Duration::from_secs(1)).await;
            let undisturbed = Disturbance::default();
            deployment::roll(company, first, Rollout::new(sidecar_group(), sidecar), undisturbed).await
        }
    };
    let (main, beside) = tokio::join!(main, beside);
    Ok(Played { deployments: vec![main, beside], aftermath: None })
}

/// After a deployment that died: its rollback at once, or a look at what became of the instance, and then the next.
async fn deploy_again(options: &Options, company: &Arc<Company>, seats: Vec<Seat>, main: Ended) -> Played {
    let aftermath = match (options.rollback, seats.first()) {
        (false, Some(first)) => Some(dying::watch(company, first).await),
        (true, _) | (_, None) => None,
    };
    sleep(Duration::from_secs(1)).await;
    let creator = if options.rollback { Creator::Rollback } else { Creator::User };
    // As whoever deploys next says, where the scripts of the installed revision are what hangs.
    let next = Rollout { creator, ignores_stop_failures: true, ..Rollout::new(main_group(options), options.next()) };
    let next = deployment::roll(Arc::clone(company), seats, next, Disturbance::default()).await;
    Played { deployments: vec![main, next], aftermath }
}

/// Waits until every instance is where it belongs and stays there; `None` when that did not come in time.
async fn settle(company: &Company, failed: bool) -> Option<Duration> {
    let by_standby = company.world.elastigroup_plan.as_ref().is_some_and(|plan| plan.moves_traffic);
    let calm = match (failed, by_standby) {
        (true, true) => CALM_IN_STANDBY,
        (true, false) => CALM_AFTER_FAILURE,
        (false, _) => Duration::from_millis(500),
    };
    let started = Instant::now();
    let mut since = None;
    while started.elapsed() < SETTLED_WITHIN {
        if is_settled(company).await {
            let since = *since.get_or_insert_with(Instant::now);
            if since.elapsed() >= calm {
                return Some(since.duration_since(started));
            }
        } else {
            since = None;
        }
        sleep(Duration::from_millis(200)).await;
    }
    None
}

async fn is_settled(company: &Company) -> bool {
    let world = &company.world;
    for seat in world.seats.iter().filter(|seat| seat.deployed_to) {
        let Some(services) = company.services.get(&seat.number) else {
            continue;
        };
        let stays_out = world.notices().iter().any(|notice| notice.instance == seat.number && notice.ends_service())
            || world.is_held_back(seat)
            || world.is_detached(seat);
        let settled = match services.healthy_release().await {
            Some(_) if stays_out => world.in_traffic(seat).is_empty(),
            // Whoever took it out puts it back, with the next deployment.
            Some(_) => is_back(world, seat) || world.moved_last_by_service(seat) == Some(Moved::Out),
            None => world.in_traffic(seat).is_empty(),
        };
        if !settled {
            return false;
        }
    }
    true
}

/// Whether the instance is healthy in every place that it had when the world came up.
pub(crate) fn is_back(world: &World, seat: &Seat) -> bool {
    let now = world.target_health(seat);
    let start = world.registered_from_the_start(seat);
    let mut start = start.iter();
    start.all(|(group, target)| {
        now.iter()
            .any(|(in_group, registered, health)| in_group == group && registered == target && health.is_healthy())
    })
}

async fn last_sight(company: &Company, agents: bool) -> Vec<LastSight> {
    let mut sights = Vec::new();
    for seat in &company.world.seats {
        let healthy_release = match company.services.get(&seat.number) {
            Some(services) => services.healthy_release().await,
            None => None,
        };
        let status = if agents && seat.deployed_to {
            Some(company.crew.agent_status(seat).await.map_err(|error| format!("{error:#}")))
        } else {
            None
        };
        sights.push(LastSight {
            seat: seat.clone(),
            healthy_release,
            is_back: is_back(&company.world, seat),
            in_traffic: company.world.in_traffic(seat),
            status,
        });
    }
    sights
}

/// Ends agents and applications. What goes wrong here is no part of the rehearsal, but is said.
pub(crate) async fn close(company: &Company, agents: bool) {
    for seat in &company.world.seats {
        if agents
            && seat.deployed_to
            && let Err(error) = company.crew.stop_agent(seat).await
        {
            let note = format!("the agent did not stop: {error:#}");
            company.world.happened(Some(seat.number), Happening::Noted { note });
        }
        if let Err(error) = company.crew.application(seat, crate::crew::Verb::Stop).await {
            let note = format!("the application did not stop: {error:#}");
            company.world.happened(Some(seat.number), Happening::Noted { note });
        }
    }
}
