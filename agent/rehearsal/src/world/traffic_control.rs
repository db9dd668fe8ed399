//! Traffic as CodeDeploy's service moves it, with a role of its own, where a deployment group names a target group.
//!
//! The service knows the instance alone and takes the group's default port. Instances of a rehearsal share one loopback
//! host and so have a port each: here that port stands for the default.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::calls::{Call, Caller, Effect};
use super::targets::TargetId;
use super::{State, World};
use crate::lock::lock;
use crate::seat::Seat;

/// How often the service looks.
const LOOK: Duration = Duration::from_secs(1);
/// For so long AllowTraffic waits for a healthy target.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What the service did to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// Took it out of its target group.
    Out,
    /// Put it into its target group.
    In {
        /// Since the world came up.
        at: Duration,
    },
}

impl World {
    /// BlockTraffic: takes the instance out of the group, and waits until nothing drains there any more.
    pub(crate) async fn block_traffic(&self, seat: &Seat, group: &str) {
        let target = target(seat);
        self.move_traffic("DeregisterTargets", |state, now| {
            let lag = Duration::from_millis(state.rng.u64(100..3000));
            let group = state.balancing.groups.iter_mut().find(|known| known.settings.name == group)?;
            Some(Effect::Deregistered {
                group: group.settings.name.clone(),
                registered_beside: group.registered_beside(now, &target.id),
                healthy_beside: group.healthy_beside(now, &target.id),
                changed: group.deregister(now, &target, lag),
                target: target.clone(),
            })
        });
        while self.state_in(group, &target) != "unused" {
            sleep(LOOK).await;
        }
    }

    /// AllowTraffic: puts the instance into the group, and waits until it is healthy there. The error says what it was
    /// instead for an hour.
    pub(crate) async fn allow_traffic(&self, seat: &Seat, group: &str) -> Result<(), String> {
        let target = target(seat);
        self.move_traffic("RegisterTargets", |state, now| {
            let lag = Duration::from_millis(state.rng.u64(1000..3000));
            let group = state.balancing.groups.iter_mut().find(|known| known.settings.name == group)?;
            Some(Effect::Registered {
                group: group.settings.name.clone(),
                changed: group.register(now, target.clone(), seat.address, lag),
                from_the_start: true,
                target: target.clone(),
            })
        });
        let began = Instant::now();
        loop {
            let health = self.state_in(group, &target);
            if health == "healthy" {
                return Ok(());
            }
            if began.elapsed() >= PATIENCE {
                return Err(format!("the instance is {health} in {group}, not healthy"));
            }
            sleep(LOOK).await;
        }
    }

    /// Whether CodeDeploy's service has moved this instance last: out, where it blocked traffic for a deployment that failed
    /// and so never allowed it again; and in, with when.
    pub(crate) fn moved_last_by_service(&self, seat: &Seat) -> Option<Moved> {
        let state = lock(&self.state);
        let mut moves = state.calls.iter().rev().flat_map(|call| call.effects.iter().map(move |effect| (call, effect)));
        moves.find_map(|(call, effect)| {
            let (moved, target) = match effect {
                Effect::Registered { target, .. } => (Moved::In { at: call.at }, target),
                Effect::Deregistered { target, .. } => (Moved::Out, target),
            };
            (target.id == seat.instance_id).then(|| (call.caller == Caller::CodeDeploy).then_some(moved))
        })?
    }

    fn move_traffic(&self, action: &str, change: impl FnOnce(&mut State, Instant) -> Option<Effect>) {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        let effects: Vec<_> = change(&mut state, now).into_iter().collect();
        state.calls.push(Call {
            at: self.clock.since_start(now),
            asked: self.clock.since_start(now),
            caller: Caller::CodeDeploy,
            service: "elasticloadbalancing",
            action: action.to_owned(),
            status: 200,
            error: None,
            effects: effects.clone(),
        });
        drop(state);
        self.tell_of_call(Caller::CodeDeploy, action, None, effects);
    }

    fn state_in(&self, group: &str, target: &TargetId) -> &'static str {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        let mut groups = state.balancing.groups.iter_mut();
        groups.find(|known| known.settings.name == group).map_or("unused", |group| group.health(now, target).state)
    }
}

fn target(seat: &Seat) -> TargetId {
    TargetId { id: seat.instance_id.clone(), port: seat.application.port() }
}
