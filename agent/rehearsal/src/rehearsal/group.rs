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
/// From one token to the next.
const ROTATION: Duration = Duration::from_secs(20);

/// What goes on for the whole rehearsal: instances that do not get ready are replaced, tokens are rotated. Ends when it
/// is dropped.
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
    if plan.ready.is_some() && plan.launches {
        for seat in company.world.seats.iter().filter(|seat| seat.deployed_to) {
            let (company, seat) = (Arc::clone(company), seat.clone());
            tasks.spawn(async move {
                while !company.world.is_overdue(&seat) {
                    sleep(TURN).await;
                }
                take(&company, &seat).await;
            });
        }
    }
    tasks
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
