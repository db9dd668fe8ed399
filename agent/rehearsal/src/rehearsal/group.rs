//! What an Elastigroup does with its instances by itself, while everything else goes on.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::Company;
use crate::seat::Seat;
use crate::timeline::Happening;
use crate::world::elastigroup::{GroupFault, Wish};

/// How often the group thinks.
const TURN: Duration = Duration::from_millis(500);
/// A wish that cannot be had for so long is given up.
const PATIENCE: Duration = Duration::from_secs(1800);
/// A replacement is launched before an instance is detached.
const LAUNCH: Duration = Duration::from_secs(20);
/// A target that is missing for so long is put back, or its instance counts as unhealthy, where the group does so.
const MISSED: Duration = Duration::from_secs(8);
/// From one token to the next.
const ROTATION: Duration = Duration::from_secs(20);

/// What goes on for the whole rehearsal: instances that do not get ready are replaced, those that somebody wants detached
/// are, and tokens are rotated. Ends when it is dropped.
pub(super) fn lives(company: &Arc<Company>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let Some(plan) = company.world.elastigroup_plan.clone() else { return tasks };
    if plan.fault == Some(GroupFault::Rotation) {
        let world = Arc::clone(&company.world);
        tasks.spawn(async move {
            loop {
                sleep(ROTATION).await;
                world.rotate_token();
            }
        });
    }
    let replaces_unready = plan.ready.is_some() && plan.launches && plan.unknown.replaces_unready;
    for seat in company.world.seats.iter().filter(|seat| seat.deployed_to) {
        if plan.unknown.heals_deregistered || plan.unknown.puts_back {
            tasks.spawn(misses(Arc::clone(company), seat.clone(), plan.unknown.puts_back));
        }
        let (company, seat) = (Arc::clone(company), seat.clone());
        tasks.spawn(async move {
            let goes =
                || company.world.is_to_be_detached(&seat) || (replaces_unready && company.world.is_overdue(&seat));
            while !goes() {
                sleep(TURN).await;
            }
            take(&company, &seat).await;
        });
    }
    tasks
}

/// Puts an instance back where it is missing, or replaces it. Ends when it is gone.
async fn misses(company: Arc<Company>, seat: Seat, puts_back: bool) {
    let world = &company.world;
    let mut since = None;
    while !company.is_gone(seat.number) {
        sleep(TURN).await;
        let missing = world.group_misses(&seat);
        if missing.is_empty() {
            since = None;
            continue;
        }
        if since.get_or_insert_with(Instant::now).elapsed() < MISSED {
            continue;
        }
        if puts_back {
            world.group_puts_back(&missing);
        } else if world.group_chooses(Wish::Unhealthy, &[seat.number]).is_some() {
            return take(&company, &seat).await;
        }
        since = None;
    }
}

/// The group wants something from now on, and this ends when it has it.
pub(super) async fn wants(company: Arc<Company>, wish: Wish) {
    let world = &company.world;
    sleep(Duration::from_millis(world.draw(1000))).await;
    world.happened(None, Happening::Noted { note: format!("Elastigroup wants: {}", wish.name()) });
    let members: Vec<u8> = world.seats.iter().filter(|seat| seat.deployed_to).map(|seat| seat.number).collect();
    let first: Vec<u8> = members.iter().take(1).copied().collect();
    match wish {
        Wish::ScaleIn => {
            if let Some(seat) = chosen(&company, wish, &members).await {
                take(&company, &seat).await;
            }
        }
        Wish::Replace | Wish::Unhealthy => {
            // Launch first; and then it must still be allowed.
            if chosen(&company, wish, &first).await.is_some() {
                sleep(LAUNCH).await;
            }
            if let Some(seat) = chosen(&company, wish, &first).await {
                take(&company, &seat).await;
            }
        }
        Wish::Roll => {
            for number in members.iter().take(2) {
                sleep(LAUNCH).await;
                if let Some(seat) = chosen(&company, wish, &[*number]).await {
                    take(&company, &seat).await;
                }
            }
        }
    }
}

/// Waits until the group may have one of the candidates.
async fn chosen(company: &Company, wish: Wish, candidates: &[u8]) -> Option<Seat> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(number) = company.world.group_chooses(wish, candidates) {
            return company.world.seat(number).cloned();
        }
        sleep(TURN).await;
    }
    company.world.happened(None, Happening::Noted { note: format!("Elastigroup gives up: {}", wish.name()) });
    None
}

/// Out of the target groups, held, terminated.
async fn take(company: &Company, seat: &Seat) {
    company.world.group_detaches(seat);
    while !company.world.group_lets_go(seat) {
        sleep(TURN).await;
    }
    sleep(Duration::from_millis(500 + company.world.draw(2000))).await;
    company.take_away(seat).await;
}
