//! The balancer's connections to its targets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use super::routing::{Route, Stance};
use super::{IdleOnDrain, Settings};
use crate::lock::lock;
use crate::net::Net;
use crate::net::pool::Pool;

/// One pool of connections for each target that has carried a request.
pub(super) struct Upstreams {
    net: Arc<dyn Net>,
    settings: Settings,
    pools: Mutex<BTreeMap<SocketAddr, Arc<Pool>>>,
}

impl Upstreams {
    pub(super) fn new(net: Arc<dyn Net>, settings: Settings) -> Self {
        Self { net, settings, pools: Mutex::new(BTreeMap::new()) }
    }

    /// The connections to `endpoint`.
    pub(super) fn pool(&self, endpoint: SocketAddr) -> Arc<Pool> {
        lock(&self.pools)
            .entry(endpoint)
            .or_insert_with(|| {
                let Settings { from, keep_alive, .. } = self.settings;
                Arc::new(Pool::new(self.net.clone(), from, endpoint, keep_alive))
            })
            .clone()
    }

    /// Closes idle connections to draining targets, and cuts what drained too long or has left.
    pub(super) fn sweep(&self, now: Instant, routes: &[Route]) {
        lock(&self.pools).retain(|endpoint, pool| {
            let route = routes.iter().find(|route| route.endpoint == *endpoint);
            match route.map(|route| route.stance) {
                Some(Stance::Serving | Stance::Checked) => true,
                Some(Stance::Draining { until }) if until <= now => {
                    pool.cut();
                    false
                }
                Some(Stance::Draining { .. }) => {
                    match self.settings.idle_on_drain {
                        IdleOnDrain::Closed => pool.close_idle(),
                        IdleOnDrain::KeptOpen => {}
                    }
                    true
                }
                None => {
                    pool.cut();
                    false
                }
            }
        });
    }
}
