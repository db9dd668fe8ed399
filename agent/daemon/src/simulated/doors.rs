//! The agent's doors onto a world in memory.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use pitcrew_core::ids::DeploymentId;
use pitcrew_core::time::millis;
use pitcrew_rehearsal::net::{SimNet, exchange};
use pitcrew_rehearsal::seat::Seat;
use pitcrew_rehearsal::world::{Origin, World};
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};

use super::clock::SettableClock;
use crate::doors::{Clock, Commands, Connections, Transport, TransportError};

/// From the instance to an AWS endpoint and back, in milliseconds.
const TO_AWS: (u64, u64) = (5, 40);
/// From the instance to its own metadata service and back, in milliseconds.
const TO_METADATA: (u64, u64) = (1, 3);

/// HTTP as it leaves one instance: to AWS, to its metadata service, or over the network.
pub(super) struct WorldTransport {
    pub(super) seat: Seat,
    pub(super) world: Arc<World>,
    pub(super) net: SimNet,
}

impl WorldTransport {
    async fn exchange(&self, request: http::Request<Bytes>, to: &str) -> Result<http::Response<Bytes>, TransportError> {
        let unsendable = || TransportError::Unsendable { uri: request.uri().to_string() };
        let address: SocketAddr = to.parse().map_err(|_| unsendable())?;
        let metadata = self.world.seats.iter().find(|seat| seat.metadata == address);
        let (origin, (least, spread)) = match metadata {
            _ if address == self.world.addresses.aws => (Origin::Aws, TO_AWS),
            Some(seat) => (Origin::Imds(seat.number), TO_METADATA),
            None => {
                let answer = exchange(&self.net, self.seat.address, address, request).await;
                return answer.map_err(|error| failed(error, to));
            }
        };
        let travel = Duration::from_millis(least + self.world.draw(spread));
        sleep(travel / 2).await;
        let answer = self.world.router(origin, request).await;
        sleep(travel / 2).await;
        Ok(answer)
    }
}

impl Transport for WorldTransport {
    fn send(
        &self,
        request: http::Request<Bytes>,
        patience: Duration,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>> {
        Box::pin(async move {
            let to = match request.uri().authority() {
                Some(authority) => authority.to_string(),
                None => return Err(TransportError::Unsendable { uri: request.uri().to_string() }),
            };
            match timeout(patience, self.exchange(request, &to)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(TransportError::TimedOut { to, after: patience }),
            }
        })
    }
}

fn failed(error: io::Error, to: &str) -> TransportError {
    let (to, source) = (to.to_owned(), Box::new(error));
    if source.kind() == io::ErrorKind::ConnectionRefused {
        TransportError::NotConnected { to, source }
    } else {
        TransportError::Broken { to, source }
    }
}

/// What socket diagnostics on one instance would count.
pub(super) struct WorldConnections {
    pub(super) seat: Seat,
    pub(super) net: SimNet,
}

impl Connections for WorldConnections {
    fn established(&self, ports: &[u16]) -> io::Result<BTreeMap<u16, usize>> {
        let count = |port: &u16| (*port, self.net.established(SocketAddr::new(self.seat.address, *port)));
        Ok(ports.iter().map(count).collect())
    }
}

/// What the directory of the instance's host agent would show.
pub(super) struct WorldCommands {
    seat: Seat,
    world: Arc<World>,
    clock: Arc<SettableClock>,
    changes: Mutex<watch::Receiver<()>>,
}

impl WorldCommands {
    pub(super) fn new(seat: Seat, world: Arc<World>, clock: Arc<SettableClock>) -> Self {
        let changes = Mutex::new(world.ongoing_changes());
        Self { seat, world, clock, changes }
    }
}

impl Commands for WorldCommands {
    fn look(&self) -> Option<BTreeMap<DeploymentId, Duration>> {
        let up = self.clock.now().at.0;
        let files = self.world.ongoing(&self.seat).into_iter();
        // No command outlives its boot.
        let executing = files.filter(|(_, age)| millis(*age) < up);
        Some(executing.map(|(id, age)| (DeploymentId::new(id), age)).collect())
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // The world outlives its agents.
            let _ = self.changes.lock().await.changed().await;
        })
    }
}
