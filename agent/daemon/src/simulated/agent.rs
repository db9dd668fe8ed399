//! One instance's agent: a task that can be started, killed and stopped, and what survives it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, bail};
use pitcrew_core::time::{Instant, Now, WallTime};
use pitcrew_rehearsal::crew::agent_configuration;
use pitcrew_rehearsal::net::SimNet;
use pitcrew_rehearsal::rehearsal::Options;
use pitcrew_rehearsal::seat::Seat;
use pitcrew_rehearsal::world::World;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::between::Between;
use super::clock::SettableClock;
use super::doors::{WorldCommands, WorldConnections, WorldTransport};
use super::locked;
use super::scripts::WorldScripts;
use crate::config::{self, Settings};
use crate::doors::Credentials;
use crate::history::History;
use crate::intake::imds::Endpoint;
use crate::intake::socket::{Dialer, Peer, in_process};
use crate::ledger::MemoryStore;
use crate::protocol::Request;
use crate::protocol::client::{self, End, Waiting};
use crate::report::metrics::Metrics;
use crate::run::{self, AwsAccess, Doors};

/// How long an agent may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How long this host has been up when the world begins.
const UP_FOR: Duration = Duration::from_secs(3600);

/// Who calls on the socket: the host agent, which runs as root.
pub(super) const ROOT: Peer = Peer { uid: 0, gid: 0 };

/// What survives an agent's death: its ledger, its clock, its settings.
pub(super) struct Seated {
    seat: Seat,
    world: Arc<World>,
    net: SimNet,
    seed: u64,
    settings: Settings,
    store: MemoryStore,
    clock: Arc<SettableClock>,
    between: Arc<dyn Between>,
    running: Mutex<Option<Running>>,
}

struct Running {
    task: JoinHandle<anyhow::Result<()>>,
    dialer: Dialer,
    stop: oneshot::Sender<()>,
}

impl Seated {
    pub(super) fn new(
        seat: &Seat,
        world: &Arc<World>,
        net: &SimNet,
        options: &Options,
        between: &Arc<dyn Between>,
    ) -> anyhow::Result<Self> {
        let fragments = agent_configuration(seat, world, &options.settings);
        let fragments = fragments.each_ref().map(|(name, text)| (Path::new(name), text.as_str()));
        let merged = config::read(&fragments).context("reading the agent's configuration")?;
        let wall = world.clock.wall().duration_since(std::time::UNIX_EPOCH).context("reading the world's clock")?;
        let start = Now { at: Instant::default().after(UP_FOR), wall: WallTime::default() };
        let start = Now { wall: WallTime(start.wall.0 + pitcrew_core::time::millis(wall)), ..start };
        Ok(Self {
            seat: seat.clone(),
            world: world.clone(),
            net: net.clone(),
            seed: options.seed.wrapping_mul(31).wrapping_add(u64::from(seat.number)),
            settings: merged.into_settings(),
            store: MemoryStore::default(),
            clock: Arc::new(SettableClock::starting_at(start)),
            between: between.clone(),
            running: Mutex::default(),
        })
    }

    fn doors(&self) -> anyhow::Result<Doors> {
        let Self { seat, world, net, .. } = self;
        let imds_url = format!("http://{}", seat.metadata);
        Ok(Doors {
            clock: self.clock.clone(),
            transport: Arc::new(WorldTransport { seat: seat.clone(), world: world.clone(), net: net.clone() }),
            connections: Arc::new(WorldConnections { seat: seat.clone(), net: net.clone() }),
            commands: Arc::new(WorldCommands::new(seat.clone(), world.clone(), self.clock.clone())),
            store: Box::new(self.store.clone()),
            boot: format!("rehearsal-{}", self.clock.boots()).as_str().into(),
            imds: Endpoint::at(&imds_url.parse().context("reading the metadata service's address")?)?,
            aws: AwsAccess::Role { endpoint_url: format!("http://{}", world.addresses.aws), imds_url },
            scripts: Arc::new(WorldScripts { instance: seat.number, world: world.clone() }),
            host: None,
            credentials: Credentials::default(),
            identity: Arc::default(),
            metrics: Metrics::default(),
            history: History::in_memory(self.settings.history.keep),
            seed: self.seed,
        })
    }

    pub(super) async fn start(&self) -> anyhow::Result<()> {
        self.kill();
        let (dialer, listener) = self.between.socket(in_process());
        let (view, mut shown) = watch::channel(None);
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            // A crew that is gone asks nobody to stop.
            if stopped.await.is_err() {
                std::future::pending().await
            }
        };
        let on_stop = self.settings.leave.on_stop;
        let doors = self.between.doors(&self.seat, self.doors()?);
        let task = tokio::spawn(run::run(self.settings.clone(), doors, listener, on_stop, view, stopped));
        *locked(&self.running) = Some(Running { task, dialer, stop });
        match timeout(READY_WITHIN, shown.wait_for(Option::is_some)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => bail!("the agent ended before it was ready"),
            Err(_) => bail!("the agent was not ready within {READY_WITHIN:?}"),
        }
    }

    pub(super) fn set_clock_forward(&self, seconds: i64) {
        self.clock.set_forward(seconds);
    }

    /// Whatever starts from now on runs in another boot.
    pub(super) fn boot(&self) {
        self.clock.boot();
    }

    pub(super) fn kill(&self) {
        if let Some(running) = locked(&self.running).take() {
            running.task.abort();
        }
    }

    pub(super) async fn stop(&self) {
        let running = locked(&self.running).take();
        if let Some(running) = running {
            // One that has ended already need not be asked.
            let _ = running.stop.send(());
            let _ = running.task.await;
        }
    }

    /// Connects to the agent, where one runs.
    pub(super) fn dialer(&self) -> Option<Dialer> {
        locked(&self.running).as_ref().map(|running| running.dialer.clone())
    }

    pub(super) async fn status(&self) -> anyhow::Result<serde_json::Value> {
        let dialer = self.dialer().context("no agent runs on this instance")?;
        let connect = || dialer.connect(ROOT);
        let end =
            client::call(connect, Request::Status {}, Waiting::default(), std::future::pending(), &mut |_| {}).await?;
        match end {
            End::Status(document) => Ok(document),
            End::Answer(answer) => bail!("the agent answered a hook's answer: {}", answer.sentence),
        }
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.kill();
    }
}
