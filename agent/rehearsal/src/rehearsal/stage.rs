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
            match settle(options, &net, &world).await {
                Ok(servers) => return Ok(Self { world, net, sim: None, home: Some(home), _servers: servers }),
                Err(error) if is_taken(&error) => {}
                Err(error) => return Err(error),
            }
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

/// Takes every address of the world's district. Whoever has that of its AWS endpoint has the district: nobody else tries its
/// other addresses meanwhile, however many begin at the same moment.
async fn settle(options: &Options, net: &Arc<dyn Net>, world: &Arc<World>) -> anyhow::Result<JoinSet<()>> {
    let mut servers = JoinSet::new();
    let aws = world.addresses.aws;
    let endpoint = endpoint::open(&**net, Arc::clone(world), aws, Origin::Aws).await;
    let endpoint = endpoint.with_context(|| format!("listening on {aws}"))?;
    servers.spawn(serve(Arc::clone(world), "the AWS endpoint", endpoint));
    for seat in &world.seats {
        // A rehearsal that was killed may have left an application or an agent running.
        for address in [seat.application, seat.looked_at] {
            net.listen(address).await.with_context(|| format!("listening on {address}"))?;
        }
        let endpoint = endpoint::open(&**net, Arc::clone(world), seat.metadata, Origin::Imds(seat.number)).await;
        let endpoint = endpoint.with_context(|| format!("listening on {}", seat.metadata))?;
        servers.spawn(serve(Arc::clone(world), "a metadata service", endpoint));
    }
    balance(options, net, world, &mut servers).await?;
    Ok(servers)
}

/// Whether it failed because somebody has one of the addresses.
fn is_taken(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::AddrInUse)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::SocketAddr;

    use super::*;
    use crate::bundle::Bundle;

    fn options() -> Options {
        Options::of(Bundle::sample().unwrap())
    }

    async fn stage() -> Stage {
        Stage::real(&options(), Timeline::default()).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn worlds_that_begin_at_the_same_moment_take_addresses_of_their_own() {
        let mut stages = JoinSet::new();
        for _ in 0..12 {
            stages.spawn(async {
                let stage = stage().await;
                // What its applications do.
                let mut listeners = Vec::new();
                for seat in &stage.world.seats {
                    listeners.push(stage.net.listen(seat.application).await.unwrap());
                }
                (stage, listeners)
            });
        }
        let stages = stages.join_all().await;
        let addresses: BTreeSet<SocketAddr> = stages.iter().map(|(stage, _)| stage.world.addresses.aws).collect();
        assert_eq!(addresses.len(), 12);
    }

    #[tokio::test]
    async fn a_world_moves_on_where_any_of_its_addresses_is_taken() {
        for which in 0..4 {
            let first = stage().await;
            let (net, addresses, seat) = (Arc::clone(&first.net), first.world.addresses, first.world.seats[0].clone());
            drop(first);
            let address = [seat.metadata, seat.looked_at, seat.application, addresses.balancer][which];
            let _left_behind = loop {
                match net.listen(address).await {
                    Ok(listener) => break listener,
                    Err(_) => tokio::task::yield_now().await,
                }
            };
            assert_ne!(stage().await.world.addresses, addresses, "{address}");
        }
    }
}
