//! Open-loop load: requests leave on a fixed schedule, whatever became of the earlier ones.

mod record;
mod report;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderMap};
use hyper::{Request, Uri, http};
use tokio::select;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::app::VERSION_HEADER;
use crate::balancer::{REASON_HEADER, TARGET_HEADER};
use crate::lock::lock;
use crate::net::Net;
use crate::net::pool::Pool;
use record::Record;

pub use record::Progress;
pub use report::{Latency, Loss, Report, Second, Served};

/// The rates that a plan may have, in requests per second.
const RATES: RangeInclusive<f64> = 0.01..=100_000.0;

/// What to send.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The address that requests come from.
    pub from: IpAddr,
    /// Where they go: the balancer.
    pub to: SocketAddr,
    /// What they ask for, such as `/`.
    pub path: String,
    /// Requests per second on average; each arrival is independent of the others (Poisson).
    pub rate: f64,
    /// Which of them take long.
    pub slow: Option<Slow>,
    /// A request without a whole answer this long after its due time is lost.
    pub timeout: Duration,
    /// Draws the arrivals and which of them are slow.
    pub seed: u64,
}

impl Plan {
    fn check(&self) -> Result<(), PlanError> {
        if !RATES.contains(&self.rate) {
            return Err(PlanError::Rate(self.rate));
        }
        if let Some(Slow { share, .. }) = self.slow
            && !(0.0..=1.0).contains(&share)
        {
            return Err(PlanError::Share(share));
        }
        if !self.path.starts_with('/') || self.path.parse::<Uri>().is_err() {
            return Err(PlanError::Path(self.path.clone()));
        }
        Ok(())
    }
}

/// Requests that ask the sample application to take its time (`?ms=`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slow {
    /// The share of all requests, from 0 to 1.
    pub share: f64,
    /// The longest of them; they are spread evenly from 0 up to this.
    pub up_to: Duration,
}

/// What is wrong with a plan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The rate is out of bounds.
    #[error("a load of {0} requests per second cannot be sent: give a rate from 0.01 to 100000")]
    Rate(f64),
    /// The share of slow requests is not a share.
    #[error("{0} is not a share of slow requests: give a number from 0 to 1")]
    Share(f64),
    /// The path cannot be asked for.
    #[error("`{0}` is not a path: give one that begins with a slash, such as `/`")]
    Path(String),
}

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its place in the schedule, from 0.
    pub number: u64,
    /// When it was due, since the start of the load.
    pub due: Duration,
    /// From when it was due until its answer was complete, or it was lost.
    pub latency: Duration,
    /// How it ended.
    pub answer: Answer,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Answered in full with a status below 500.
    Served {
        /// The status code.
        status: u16,
        /// The target that answered, as the balancer names it; empty when it did not say.
        target: String,
        /// Which version answered; empty when the answer did not say.
        version: String,
    },
    /// No connection, no whole answer in time, or a status of 500 and above.
    Lost {
        /// A short sentence.
        cause: String,
        /// The target that had the request, as the balancer names it; empty when unknown.
        target: String,
    },
}

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
        let record = Arc::new(Mutex::new(Record::default()));
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

/// Draws when each request is due and what it asks for: the same for the same plan.
struct Schedule<'a> {
    plan: &'a Plan,
    rng: Rng,
    due: Duration,
}

impl<'a> Schedule<'a> {
    fn new(plan: &'a Plan) -> Self {
        Self { plan, rng: Rng::with_seed(plan.seed), due: Duration::ZERO }
    }

    fn next(&mut self) -> (Duration, String) {
        let gap = -(1.0 - self.rng.f64()).ln() / self.plan.rate;
        self.due += Duration::from_secs_f64(gap);
        let path = match self.plan.slow {
            Some(Slow { share, up_to }) if self.rng.f64() < share => {
                let delay = up_to.mul_f64(self.rng.f64()).as_millis();
                let separator = if self.plan.path.contains('?') { '&' } else { '?' };
                format!("{}{separator}ms={delay}", self.plan.path)
            }
            Some(_) | None => self.plan.path.clone(),
        };
        (self.due, path)
    }
}

struct Client {
    pool: Arc<Pool<Empty<Bytes>>>,
    started: Instant,
    record: Arc<Mutex<Record>>,
    observe: Box<dyn Fn(&Outcome) + Send + Sync>,
    plan: Plan,
}

impl Client {
    async fn request(self: Arc<Self>, number: u64, due: Duration, path: String) {
        let due_at = self.started + due;
        let answer = match timeout_at(due_at + self.plan.timeout, self.ask(&path)).await {
            Ok(answer) => answer,
            Err(_) => lost(format!("no answer within {:?}", self.plan.timeout)),
        };
        let outcome = Outcome { number, due, latency: due_at.elapsed(), answer };
        (self.observe)(&outcome);
        lock(&self.record).ended(outcome);
    }

    async fn ask(&self, path: &str) -> Answer {
        let request = Request::get(path).header(HOST, self.plan.to.to_string()).body(Empty::new());
        let request = match request {
            Ok(request) => request,
            Err(error) => return lost(format!("`{path}` cannot be asked for: {error}")),
        };
        let response = match self.pool.send(request).await {
            Ok(response) => response,
            Err(failure) => return lost(failure.to_string()),
        };
        let (head, body) = response.into_parts();
        match body.collect().await {
            Ok(_) => judge(&head),
            Err(_) => {
                let target = text(&head.headers, TARGET_HEADER);
                Answer::Lost { cause: "cut in the middle of its answer".to_owned(), target }
            }
        }
    }
}

fn judge(head: &http::response::Parts) -> Answer {
    let status = head.status.as_u16();
    let target = text(&head.headers, TARGET_HEADER);
    if status < 500 {
        return Answer::Served { status, target, version: text(&head.headers, VERSION_HEADER) };
    }
    let cause = match head.headers.contains_key(REASON_HEADER) {
        true => format!("{status} from the balancer: {}", text(&head.headers, REASON_HEADER)),
        false => format!("{status} from the application"),
    };
    Answer::Lost { cause, target }
}

fn lost(cause: String) -> Answer {
    Answer::Lost { cause, target: String::new() }
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}
