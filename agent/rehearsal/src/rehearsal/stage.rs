//! The stage: a world with its network, its balancer and, for real rehearsals, its endpoints and disk.

use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::Options;
use crate::balancer::{self, Balancer};
use crate::clock::WorldClock;
use crate::endpoint;
use crate::net::{Net, RealNet, SimNet};
use crate::timeline::{Happening, Timeline};
use crate::world::{Origin, TARGET_GROUP, World};

/// The most worlds that one machine holds at a time.
const DISTRICTS: u8 = 200;

/// A world that is up. Dropping it ends its servers and removes its disk.
pub struct Stage {
    /// The world.
    pub world: Arc<World>,
    /// How bytes travel in it.
    pub net: Arc<dyn Net>,
    /// The network of a simulated world, which counts connections for the agent.
    pub sim: Option<SimNet>,
    home: Option<TempDir>,
    _servers: JoinSet<()>,
}

impl Stage {
    /// A world on loopback, with endpoints, balancer and a temporary directory for disks.
    ///
    /// Fails when no addresses are free or the directory cannot be made.
    pub async fn real(options: &Options, timeline: Timeline) -> anyhow::Result<Self> {
        let net: Arc<dyn Net> = Arc::new(RealNet);
        let home = tempfile::Builder::new()
            .prefix("pitcrew-rehearsal-")
            .tempdir()
            .context("making a directory for the rehearsal")?;
        for district in 0..DISTRICTS {
            let plan = options.plan(district);
            let world = Arc::new(World::new(&plan, WorldClock::real(), Some(home.path()), timeline.clone()));
            if !has_free_instances(&*net, &world).await {
                continue;
            }
            let mut servers = JoinSet::new();
            match endpoint::open(&*net, Arc::clone(&world), world.addresses.aws, Origin::Aws).await {
                Ok(endpoint) => servers.spawn(serve(Arc::clone(&world), "the AWS endpoint", endpoint)),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => continue,
                Err(error) => {
                    return Err(error).with_context(|| format!("listening on {}", world.addresses.aws));
                }
            };
            for seat in &world.seats {
                let origin = Origin::Imds(seat.number);
                let endpoint = endpoint::open(&*net, Arc::clone(&world), seat.metadata, origin)
                    .await
                    .with_context(|| format!("listening on {}", seat.metadata))?;
                servers.spawn(serve(Arc::clone(&world), "a metadata service", endpoint));
            }
            balance(options, &net, &world, &mut servers).await?;
            return Ok(Self { world, net, sim: None, home: Some(home), _servers: servers });
        }
        bail!("{DISTRICTS} rehearsals run on this machine already: wait for one to end")
    }

    /// A world in memory. Must be called inside a `current_thread` runtime whose clock is paused.
    pub async fn simulated(options: &Options, timeline: Timeline) -> anyhow::Result<Self> {
        let sim = SimNet::new(options.seed);
        let net: Arc<dyn Net> = Arc::new(sim.clone());
        let plan = options.plan(0);
        let world = Arc::new(World::new(&plan, WorldClock::simulated(), None, timeline));
        let mut servers = JoinSet::new();
        balance(options, &net, &world, &mut servers).await?;
        Ok(Self { world, net, sim: Some(sim), home: None, _servers: servers })
    }

    /// The directory that holds the instances' disks, if this world has any.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_ref().map(TempDir::path)
    }

    /// Leaves the disks behind for a look afterwards.
    pub(crate) fn keep_home(&mut self) {
        if let Some(home) = &mut self.home {
            home.disable_cleanup(true);
        }
    }
}

/// Whether nobody listens where the applications are to: a rehearsal that was killed may have left some running.
async fn has_free_instances(net: &dyn Net, world: &World) -> bool {
    for seat in &world.seats {
        if net.listen(seat.application).await.is_err() {
            return false;
        }
    }
    true
}

async fn balance(
    options: &Options,
    net: &Arc<dyn Net>,
    world: &Arc<World>,
    servers: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let settings = balancer::Settings {
        listen: world.addresses.balancer,
        from: world.addresses.balancer_node,
        keep_alive: options.keep_alive,
        idle_on_drain: options.idle_on_drain,
    };
    let balancer = Balancer::bind(Arc::clone(net), world.routing(TARGET_GROUP), settings)
        .await
        .with_context(|| format!("listening on {} for the balancer", world.addresses.balancer))?;
    servers.spawn(serve(Arc::clone(world), "the balancer", balancer.run()));
    Ok(())
}

async fn serve(world: Arc<World>, what: &'static str, server: impl Future<Output = io::Error> + Send) {
    let error = server.await;
    world.happened(None, Happening::Noted { note: format!("{what} stopped serving: {error}") });
}
