//! A crew in one process: the same agent, hooks and application as ever, against a world in memory, under virtual time.

mod agent;
mod between;
mod clock;
mod doors;
mod script;
mod scripts;

#[cfg(test)]
mod disk;
#[cfg(test)]
mod sabotage;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, anyhow};
use futures_util::future::BoxFuture;
use pitcrew_rehearsal::app;
use pitcrew_rehearsal::crew::{Crew, ScriptJob, ScriptOutcome, Verb};
use pitcrew_rehearsal::net::SimNet;
use pitcrew_rehearsal::rehearsal::{Options, Stage};
use pitcrew_rehearsal::seat::Seat;
use tokio::task::{AbortHandle, JoinSet};

use crate::doors::Transport;
use agent::Seated;
use between::{Between, Nobody};

/// Runs agents, scripts and applications as tasks of one runtime whose clock is paused.
struct SimulatedCrew {
    net: SimNet,
    agents: BTreeMap<u8, Seated>,
    applications: Mutex<Applications>,
}

#[derive(Default)]
struct Applications {
    tasks: JoinSet<()>,
    running: BTreeMap<u8, AbortHandle>,
}

impl SimulatedCrew {
    fn new(stage: &Stage, options: &Options, between: &Arc<dyn Between>) -> anyhow::Result<Self> {
        let net = stage.sim.clone().ok_or_else(|| anyhow!("only a simulated stage has room for a simulated crew"))?;
        let world = &stage.world;
        let seat = |seat: &Seat| anyhow::Ok((seat.number, Seated::new(seat, world, &net, options, between)?));
        let agents = world.seats.iter().map(seat).collect::<Result<_, _>>().context("setting up the agents")?;
        Ok(Self { net, agents, applications: Mutex::default() })
    }

    fn seated(&self, seat: &Seat) -> anyhow::Result<&Seated> {
        self.agents.get(&seat.number).ok_or_else(|| anyhow!("this world has no instance {}", seat.number))
    }
}

impl Crew for SimulatedCrew {
    fn start_agent<'a>(&'a self, seat: &'a Seat) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move { self.seated(seat)?.start().await })
    }

    fn kill_agent<'a>(&'a self, seat: &'a Seat) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            self.seated(seat)?.kill();
            Ok(())
        })
    }

    fn stop_agent<'a>(&'a self, seat: &'a Seat) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            self.seated(seat)?.stop().await;
            Ok(())
        })
    }

    fn boot<'a>(&'a self, seat: &'a Seat) -> BoxFuture<'a, ()> {
        if let Ok(seated) = self.seated(seat) {
            seated.boot();
        }
        Box::pin(std::future::ready(()))
    }

    fn set_clock_forward<'a>(&'a self, seat: &'a Seat, seconds: i64) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            self.seated(seat)?.set_clock_forward(seconds);
            Ok(())
        })
    }

    fn agent_status<'a>(&'a self, seat: &'a Seat) -> BoxFuture<'a, anyhow::Result<serde_json::Value>> {
        Box::pin(async move { self.seated(seat)?.status().await })
    }

    fn run_script(&self, job: ScriptJob) -> BoxFuture<'_, ScriptOutcome> {
        Box::pin(async move {
            match self.seated(&job.seat) {
                Ok(seated) => script::run(job, seated).await,
                Err(error) => script::broken(format!("{error:#}")),
            }
        })
    }

    fn application<'a>(&'a self, seat: &'a Seat, verb: Verb) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            let mut applications = locked(&self.applications);
            if let Some(running) = applications.running.remove(&seat.number) {
                running.abort();
            }
            if let Verb::Start { release, warm_up } = verb {
                let settings = app::Settings { listen: seat.application, release: release.parse()?, start: warm_up };
                let runs = app::run(Arc::new(self.net.clone()), settings);
                let task = applications.tasks.spawn(async move {
                    // An address that is still in use: the watcher of the start sees that nothing answers.
                    let _ = runs.await;
                });
                applications.running.insert(seat.number, task);
            }
            Ok(())
        })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// HTTP as it leaves one instance of `stage`, which must be a simulated one.
pub fn transport(stage: &Stage, seat: &Seat) -> anyhow::Result<Arc<dyn Transport>> {
    let net = stage.sim.clone().ok_or_else(|| anyhow!("only a simulated stage has a network in memory"))?;
    Ok(Arc::new(doors::WorldTransport { seat: seat.clone(), world: stage.world.clone(), net }))
}

/// The crew for `stage`, which must be a simulated one.
pub fn crew(stage: &Stage, options: &Options) -> anyhow::Result<Arc<dyn Crew>> {
    crew_with(stage, options, Arc::new(Nobody))
}

fn crew_with(stage: &Stage, options: &Options, between: Arc<dyn Between>) -> anyhow::Result<Arc<dyn Crew>> {
    Ok(Arc::new(SimulatedCrew::new(stage, options, &between)?))
}
