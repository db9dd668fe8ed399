//! The balancer's data plane: carries requests to targets and checks their health.

mod checks;
mod forward;
pub mod routing;
mod upstreams;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::time::{Instant, sleep_until};

use crate::net::{self, Listener, Net};
use forward::Forwarder;
use routing::{Routing, Stance};
use upstreams::Upstreams;

pub use forward::{REASON_HEADER, TARGET_HEADER};

/// How often the data plane looks for targets that came, left or drain, requests or none.
const SWEEP: Duration = Duration::from_millis(100);

/// How the data plane behaves where real balancers differ or are not documented.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where clients connect; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The address that connections to targets come from.
    pub from: IpAddr,
    /// Whether a connection to a target carries more than one request.
    pub keep_alive: bool,
    /// What happens to an idle connection when its target begins to drain.
    pub idle_on_drain: IdleOnDrain,
}

/// What happens to an idle connection when its target begins to drain: how soon a real balancer
/// closes it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdleOnDrain {
    /// It is closed within a moment.
    Closed,
    /// It stays open until the drain ends.
    KeptOpen,
}

/// A balancer that listens already.
pub struct Balancer {
    listener: Box<dyn Listener>,
    routing: Arc<dyn Routing>,
    net: Arc<dyn Net>,
    settings: Settings,
}

impl Balancer {
    /// Takes the listening address; connections wait until [`Balancer::run`].
    pub async fn bind(net: Arc<dyn Net>, routing: Arc<dyn Routing>, settings: Settings) -> io::Result<Self> {
        let listener = net.listen(settings.listen).await?;
        Ok(Self { listener, routing, net, settings })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Carries requests and checks targets; returns only when the listener fails.
    ///
    /// Dropping the future cuts every connection on either side.
    pub async fn run(self) -> io::Error {
        let Self { listener, routing, net, settings } = self;
        let from = settings.from;
        let upstreams = Arc::new(Upstreams::new(net.clone(), settings));
        let forwarder = Arc::new(Forwarder::new(routing.clone(), upstreams.clone()));
        let forward = move |peer, request| {
            let forwarder = forwarder.clone();
            async move { forwarder.forward(peer, request).await }
        };
        select! {
            biased;
            failed = net::serve(listener, forward) => failed,
            never = sweep(&*routing, &upstreams) => match never {},
            never = checks::run(net, from, routing.clone()) => match never {},
        }
    }
}

/// Closes what draining and departed targets should no longer hold, when it is due.
async fn sweep(routing: &dyn Routing, upstreams: &Upstreams) -> std::convert::Infallible {
    loop {
        let now = Instant::now();
        let routes = routing.routes();
        upstreams.sweep(now, &routes);
        let next_cut = routes.iter().filter_map(|route| match route.stance {
            Stance::Draining { until } if until > now => Some(until),
            Stance::Draining { .. } | Stance::Checked | Stance::Serving => None,
        });
        let next = next_cut.fold(now + SWEEP, Instant::min);
        sleep_until(next).await;
    }
}
