//! How a rehearsal ends: it comes to rest, is looked at for the last time, and is closed.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Company;
use crate::crew::Verb;
use crate::seat::Seat;
use crate::timeline::Happening;
use crate::verdict::LastSight;
use crate::world::{Moved, World};

/// Everything must have settled this long after the last deployment.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);
/// After a failure nothing may change for this long: longer than an agent waits before it asks CodeDeploy.
const CALM_AFTER_FAILURE: Duration = Duration::from_secs(6);
/// An application that died in standby has a minute to get well before standby ends.
const CALM_IN_STANDBY: Duration = Duration::from_secs(75);

/// Waits until every instance is where it belongs and stays there; `None` when that did not come in time.
pub(super) async fn settle(company: &Company, failed: bool) -> Option<Duration> {
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

pub(super) async fn last_sight(company: &Company, agents: bool) -> Vec<LastSight> {
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
        if let Err(error) = company.crew.application(seat, Verb::Stop).await {
            let note = format!("the application did not stop: {error:#}");
            company.world.happened(Some(seat.number), Happening::Noted { note });
        }
    }
}
