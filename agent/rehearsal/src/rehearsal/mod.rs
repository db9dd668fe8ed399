//! Plays one rehearsal: the world is up, load runs, a deployment rolls, and what happened is judged.

pub mod chaos;

mod company;
mod deployment;
mod dying;
mod ending;
mod group;
mod interrupt;
mod options;
mod stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::{sleep, timeout};

use crate::bundle::{Bundle, BundleError};
use crate::crew::Crew;
use crate::host_agent::Order;
use crate::interruption::{Interruption, Moment};
use crate::load::{self, Load, Slow};
use crate::net::Net;
use crate::seat::Seat;
use crate::timeline::Happening;
use crate::verdict::{self, Evidence, Report};
use crate::world::codedeploy::{Creator, DeploymentGroup};
use crate::world::{TARGET_GROUP, World};

pub use deployment::Ended;
pub use dying::Aftermath;
pub use options::{Group, Hooks, Options, Owner};
pub use stage::Stage;

pub(crate) use company::Company;
pub(crate) use ending::{close, is_back};

use deployment::{Disturbance, Rollout};
use ending::{last_sight, settle};
use interrupt::Fate;

/// How long an application may take until it answers for the first time.
const CURTAIN: Duration = Duration::from_secs(30);
/// Load runs this long before a deployment, and after everything has settled.
const BESIDE: Duration = Duration::from_secs(2);
/// So many lost requests are told one by one.
const LOSSES_TOLD: u64 = 5;

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
