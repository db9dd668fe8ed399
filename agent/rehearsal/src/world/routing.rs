//! What the data plane of a target group asks of the world, and tells it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::World;
use super::targets::TargetGroup;
use crate::balancer::routing::{CheckPlan, CheckResult, Route, Routing};
use crate::lock::lock;
use crate::timeline::Happening;

/// One target group of a world.
pub(super) struct GroupRouting {
    pub(super) world: Arc<World>,
    pub(super) group: String,
}

impl GroupRouting {
    fn with<T>(&self, act: impl FnOnce(&mut TargetGroup) -> T) -> Option<T> {
        let mut state = lock(&self.world.state);
        let mut groups = state.balancing.groups.iter_mut();
        groups.find(|group| group.settings.name == self.group).map(act)
    }
}

impl Routing for GroupRouting {
    fn routes(&self) -> Vec<Route> {
        let now = self.world.clock.now();
        self.with(|group| group.routes(now)).unwrap_or_default()
    }

    fn check_plan(&self) -> CheckPlan {
        self.with(|group| group.settings.check.clone()).unwrap_or_else(|| CheckPlan {
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            path: "/".to_owned(),
            matcher: 200..=200,
        })
    }

    fn checked(&self, endpoint: SocketAddr, result: CheckResult) {
        let now = self.world.clock.now();
        let turned = self.with(|group| group.checked(now, endpoint, &result)).unwrap_or_default();
        for (target, health) in turned {
            let group = self.group.clone();
            let instance = self.world.number_of(&target.id);
            let what = if health.is_healthy() {
                Happening::TargetHealthy { group, target }
            } else {
                let why = health.description.unwrap_or_default();
                Happening::TargetUnhealthy { group, target, why }
            };
            self.world.happened(instance, what);
        }
    }
}
