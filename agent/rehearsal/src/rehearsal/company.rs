//! Who plays a rehearsal.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Options, Stage};
use crate::crew::{Crew, Services};
use crate::filled::filled;
use crate::host_agent::HostAgent;
use crate::lock::lock;
use crate::seat::Seat;
use crate::timeline::Happening;
use crate::world::World;

/// Who plays: the world, its instances' service managers and host agents, and the crew.
pub(crate) struct Company {
    pub(crate) world: Arc<World>,
    pub(crate) crew: Arc<dyn Crew>,
    pub(super) services: BTreeMap<u8, Services>,
    hosts: BTreeMap<u8, HostAgent>,
    /// By instance: whether it is gone.
    gone: BTreeMap<u8, watch::Sender<bool>>,
    /// Scripts that outlived their host agent.
    orphans: Mutex<JoinSet<()>>,
}

impl Company {
    pub(super) fn new(options: &Options, stage: &Stage, crew: Arc<dyn Crew>) -> Self {
        let world = Arc::clone(&stage.world);
        let release = options.previous().release();
        let mut services = BTreeMap::new();
        let mut hosts = BTreeMap::new();
        for seat in &world.seats {
            let manager = Services::new(
                seat.clone(),
                Arc::clone(&world),
                Arc::clone(&crew),
                Arc::clone(&stage.net),
                release.clone(),
                options.warm_up,
            );
            let generation = options.host_agent;
            let host = HostAgent::new(seat.clone(), Arc::clone(&world), Arc::clone(&crew), manager.clone(), generation);
            services.insert(seat.number, manager);
            hosts.insert(seat.number, host);
        }
        let gone = filled(world.seats.iter().map(|seat| (seat.number, watch::Sender::new(false))));
        Self { world, crew, services, hosts, gone, orphans: Mutex::default() }
    }

    pub(crate) fn services(&self, number: u8) -> Option<&Services> {
        self.services.get(&number)
    }

    /// Lets what nobody waits for run to its end, or to that of the rehearsal.
    pub(crate) fn leave_behind(&self, orphan: impl Future<Output = ()> + Send + 'static) {
        lock(&self.orphans).spawn(orphan);
    }

    pub(crate) fn host(&self, number: u8) -> Option<&HostAgent> {
        self.hosts.get(&number)
    }

    /// Whether the instance was taken away.
    pub(crate) fn is_gone(&self, number: u8) -> bool {
        self.gone.get(&number).is_some_and(|gone| *gone.borrow())
    }

    /// Ends when the instance is taken away.
    pub(crate) async fn gone(&self, number: u8) {
        let Some(gone) = self.gone.get(&number) else {
            return std::future::pending().await;
        };
        if gone.subscribe().wait_for(|gone| *gone).await.is_err() {
            std::future::pending().await
        }
    }

    /// Takes the instance away with everything that runs on it.
    pub(crate) async fn take_away(&self, seat: &Seat) {
        if let Some(gone) = self.gone.get(&seat.number) {
            gone.send_replace(true);
        }
        if let Some(services) = self.services.get(&seat.number)
            && let Err(error) = services.vanish().await
        {
            let note = format!("the application did not stop: {error:#}");
            self.world.happened(Some(seat.number), Happening::Noted { note });
        }
        // Where no agent runs, there is none to be taken away.
        let _ = self.crew.kill_agent(seat).await;
        self.tell_of_drain_scripts(seat);
        self.world.take_away(seat);
    }

    /// What the `drain.d` of an instance with a disk has written there.
    fn tell_of_drain_scripts(&self, seat: &Seat) {
        let Some(dirs) = &seat.dirs else { return };
        // No file: nothing has run.
        let text = std::fs::read_to_string(dirs.drain_log()).unwrap_or_default();
        for line in text.lines() {
            let (name, why) = line.split_once(' ').unwrap_or((line, ""));
            let what = Happening::DrainScriptRan { name: name.to_owned(), why: why.to_owned() };
            self.world.happened(Some(seat.number), what);
        }
    }

    /// Starts the agent of an instance and says how that went.
    pub(crate) async fn start_agent(&self, seat: &Seat) -> bool {
        let started = self.crew.start_agent(seat).await;
        let ready = started.is_ok();
        let what = match started {
            Ok(()) => Happening::AgentStarted,
            Err(error) => Happening::AgentFailed { reason: format!("{error:#}") },
        };
        self.world.happened(Some(seat.number), what);
        ready
    }
}
