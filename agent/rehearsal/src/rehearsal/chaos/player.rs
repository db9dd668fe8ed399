//! Plays a plan in a world that is up.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Plan, What};
use crate::bundle::{Bundle, BundleError};
use crate::interruption::{Interruption, Moment};
use crate::rehearsal::deployment::{Disturbance, Ended, Rollout, roll};
use crate::rehearsal::interrupt::{Fate, kill_and_restart, strike};
use crate::rehearsal::{Company, Options, main_group, sidecar_group};
use crate::seat::Seat;

/// From the end of a deployment to the beginning of one that waited for it.
const BETWEEN: Duration = Duration::from_millis(500);

/// Plays all of `plan`, and waits for the ends of what it began.
pub(in crate::rehearsal) async fn play(
    plan: &Plan,
    options: &Options,
    company: &Arc<Company>,
) -> Result<Vec<Ended>, BundleError> {
    let started = Instant::now();
    let mut beside = JoinSet::new();
    for turn in &plan.turns {
        let (company, after, at) = (Arc::clone(company), turn.at, started + turn.at);
        match turn.what {
            What::Deploy { .. } | What::DeployBeside => {}
            What::Kill { instance } => drop(beside.spawn(async move {
                sleep_until(at).await;
                if let Some(seat) = company.world.seat(instance) {
                    kill_and_restart(&company, seat, "at random").await;
                }
            })),
            What::Fault { fault, lasts } => drop(beside.spawn(async move {
                sleep_until(at).await;
                company.world.trouble_aws(Some(fault));
                sleep(lasts).await;
                company.world.trouble_aws(None);
            })),
            What::Metadata { instance, fault, lasts } => drop(beside.spawn(async move {
                sleep_until(at).await;
                if let Some(seat) = company.world.seat(instance) {
                    company.world.trouble_metadata(seat, fault, lasts);
                }
            })),
            What::Notice { instance, action, notice, withdrawn_after } => drop(beside.spawn(async move {
                sleep_until(at).await;
                let interruption = Interruption { at: Moment::Idle(after), action, notice, withdrawn_after };
                if let Some(seat) = company.world.seat(instance).cloned() {
                    strike(company, seat, Fate::undisturbed(interruption)).await;
                }
            })),
        }
    }
    let (main, sidecar) = tokio::join!(deploy(plan, options, company, started), deploy_beside(plan, company, started));
    let mut ended = main;
    ended.extend(sidecar?);
    while beside.join_next().await.is_some() {}
    Ok(ended)
}

/// The deployments of the main group, one after the other, each of a revision of its own.
async fn deploy(plan: &Plan, options: &Options, company: &Arc<Company>, started: Instant) -> Vec<Ended> {
    let mut ended = Vec::new();
    let deployments = plan.turns.iter().filter_map(|turn| match turn.what {
        What::Deploy { fails_at } => Some((turn.at, fails_at)),
        What::DeployBeside | What::Kill { .. } | What::Fault { .. } | What::Metadata { .. } | What::Notice { .. } => {
            None
        }
    });
    for (number, (at, fails_at)) in deployments.enumerate() {
        sleep_until(started + at).await;
        sleep(BETWEEN).await;
        let seats: Vec<Seat> = there(company).collect();
        if seats.is_empty() {
            break;
        }
        let revision = options.revision().named(&format!("v{}", number + 2));
        let revision = match fails_at {
            Some(event) => revision.failing_at(event),
            None => revision,
        };
        let undisturbed = Disturbance::default();
        let rollout = Rollout::new(main_group(options), revision);
        ended.push(roll(Arc::clone(company), seats, rollout, undisturbed).await);
    }
    ended
}

async fn deploy_beside(plan: &Plan, company: &Arc<Company>, started: Instant) -> Result<Vec<Ended>, BundleError> {
    let mut ended = Vec::new();
    for turn in plan.turns.iter().filter(|turn| turn.what == What::DeployBeside) {
        sleep_until(started + turn.at).await;
        let Some(seat) = there(company).find(|seat| seat.number == 1) else { break };
        let rollout = Rollout::new(sidecar_group(), Bundle::sidecar()?);
        ended.push(roll(Arc::clone(company), vec![seat], rollout, Disturbance::default()).await);
    }
    Ok(ended)
}

/// The instances that CodeDeploy finds by their tag: those that have not gone.
fn there(company: &Company) -> impl Iterator<Item = Seat> {
    let seats = company.world.seats.iter().filter(|seat| seat.deployed_to);
    seats.filter(|seat| !company.is_gone(seat.number)).cloned()
}
