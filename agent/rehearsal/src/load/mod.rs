//! Open-loop load: requests leave on a fixed schedule, whatever became of the earlier ones.

mod client;
mod measured;
mod outcome;
mod plan;
mod record;
mod report;

use std::sync::{Arc, Mutex};

use tokio::select;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::lock::lock;
use crate::net::Net;
use crate::net::pool::Pool;
use client::Client;
use plan::Schedule;
use record::Record;

pub use outcome::{Answer, Outcome};
pub use plan::{Plan, PlanError, Slow};
pub use record::Progress;
pub use report::{Latency, Loss, Report, Second, Served};

/// A load that is running. Dropping it ends it and drops what is in flight.
pub struct Load {
    started: Instant,
    record: Arc<Mutex<Record>>,
    stop: oneshot::Sender<()>,
    driver: JoinSet<()>,
}

impl Load {
    /// Starts sending. `observe` hears of each request once, when it has ended.
    ///
    /// Fails when the plan makes no sense; nothing is sent then.
    pub fn start(
        net: Arc<dyn Net>,
        plan: Plan,
        observe: impl Fn(&Outcome) + Send + Sync + 'static,
    ) -> Result<Self, PlanError> {
        plan.check()?;
        let started = Instant::now();
        let record = Arc::new(Mutex::new(Record::new(plan.by_second)));
        let (stop, stopping) = oneshot::channel();
        let client = Client {
            pool: Arc::new(Pool::new(net, plan.from, plan.to, true)),
            started,
            record: record.clone(),
            observe: Box::new(observe),
            plan,
        };
        let mut driver = JoinSet::new();
        driver.spawn(drive(Arc::new(client), stopping));
        Ok(Self { started, record, stop, driver })
    }

    /// When the schedule began; the times of the report count from here.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The counts so far.
    pub fn progress(&self) -> Progress {
        lock(&self.record).progress()
    }

    /// Sends no more, waits for what is in flight (at most the plan's timeout), and reports.
    pub async fn stop(mut self) -> Report {
        let lasted = self.started.elapsed();
        drop(self.stop);
        while self.driver.join_next().await.is_some() {}
        lock(&self.record).report(lasted)
    }
}

/// Sends each request when it is due, then waits for the last of them.
async fn drive(client: Arc<Client>, mut stopping: oneshot::Receiver<()>) {
    let mut schedule = Schedule::new(&client.plan);
    let mut requests = JoinSet::new();
    for number in 0.. {
        let (due, path) = schedule.next();
        select! {
            biased;
            _ = &mut stopping => break,
            () = sleep_until(client.started + due) => {}
        }
        lock(&client.record).sent(due);
        requests.spawn(client.clone().request(number, due, path));
        while requests.try_join_next().is_some() {}
    }
    while requests.join_next().await.is_some() {}
}
