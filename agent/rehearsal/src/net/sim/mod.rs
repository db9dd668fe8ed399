//! A network in memory: every listener and connection of one simulated world.

mod pipe;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::{BoxFuture, Listener, Net, Stream};
use crate::lock::lock;

/// The ports that connections leave from, as Linux hands them out.
const EPHEMERAL: RangeInclusive<u16> = 32_768..=60_999;

/// One way through the network takes this many microseconds; tokio's timer rounds up to 1 ms.
const LATENCY_MICROS: RangeInclusive<u64> = 100..=1000;

/// An in-memory network with seeded latency; clones are the same network.
///
/// Made for one `current_thread` runtime whose clock is paused from its start
/// (`Builder::start_paused`): then the same seed plays the same bytes at the same instants.
#[derive(Clone)]
pub struct SimNet {
    switch: Arc<Mutex<Switch>>,
}

struct Switch {
    rng: Rng,
    next_port: u16,
    listeners: BTreeMap<SocketAddr, mpsc::UnboundedSender<(Stream, SocketAddr)>>,
    /// Open connections as (listening end, connecting end).
    connections: BTreeSet<(SocketAddr, SocketAddr)>,
}

impl SimNet {
    /// A network on which nobody listens yet.
    pub fn new(seed: u64) -> Self {
        Self {
            switch: Arc::new(Mutex::new(Switch {
                rng: Rng::with_seed(seed),
                next_port: *EPHEMERAL.start(),
                listeners: BTreeMap::new(),
                connections: BTreeSet::new(),
            })),
        }
    }

    /// How many open connections have `local` as one end and another host as the other: what
    /// socket diagnostics on the host of `local` would count.
    pub fn established(&self, local: SocketAddr) -> usize {
        lock(&self.switch)
            .connections
            .iter()
            .filter(|(server, client)| (*server == local || *client == local) && server.ip() != client.ip())
            .count()
    }

    fn latency(&self) -> Duration {
        Duration::from_micros(lock(&self.switch).rng.u64(LATENCY_MICROS))
    }

    fn open(&self, from: IpAddr, to: SocketAddr) -> io::Result<Stream> {
        let mut switch = lock(&self.switch);
        let Some(backlog) = switch.listeners.get(&to).cloned() else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let client = switch.free_port(from, to)?;
        let seeds = [switch.rng.u64(..), switch.rng.u64(..)];
        switch.connections.insert((to, client));
        drop(switch);

        let closing = Arc::new(Closing { net: self.clone(), connection: (to, client) });
        let (near, far) = pipe::connection(seeds, closing);
        backlog.send((Box::new(far), client)).map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        Ok(Box::new(near))
    }
}

impl Switch {
    fn free_port(&mut self, from: IpAddr, to: SocketAddr) -> io::Result<SocketAddr> {
        for _ in EPHEMERAL {
            let client = SocketAddr::new(from, self.next_port);
            self.next_port = match self.next_port {
                last if last == *EPHEMERAL.end() => *EPHEMERAL.start(),
                port => port + 1,
            };
            if !self.connections.contains(&(to, client)) {
                return Ok(client);
            }
        }
        Err(io::ErrorKind::AddrNotAvailable.into())
    }
}

impl Net for SimNet {
    fn connect(&self, from: IpAddr, to: SocketAddr) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async move {
            sleep(self.latency()).await;
            self.open(from, to)
        })
    }

    fn listen(&self, at: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let mut switch = lock(&self.switch);
            let address = match at.port() {
                0 => switch.free_port(at.ip(), at)?,
                _ => at,
            };
            if switch.listeners.contains_key(&address) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            let (backlog, arrivals) = mpsc::unbounded_channel();
            switch.listeners.insert(address, backlog);
            Ok(Box::new(SimListener { net: self.clone(), address, arrivals }) as Box<dyn Listener>)
        })
    }
}

struct SimListener {
    net: SimNet,
    address: SocketAddr,
    arrivals: mpsc::UnboundedReceiver<(Stream, SocketAddr)>,
}

impl Listener for SimListener {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Stream, SocketAddr)>> {
        Box::pin(async move { self.arrivals.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into()) })
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        lock(&self.net.switch).listeners.remove(&self.address);
    }
}

/// Takes a connection off the network's list when either of its ends closes.
struct Closing {
    net: SimNet,
    connection: (SocketAddr, SocketAddr),
}

impl Closing {
    fn closed(&self) {
        lock(&self.net.switch).connections.remove(&self.connection);
    }
}
