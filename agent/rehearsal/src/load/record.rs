//! What a load remembers while it runs, and the report made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::measured::Measured;
use super::outcome::{Answer, Outcome};
use super::report::{Loss, Report, Second, Served};

/// How many lost requests are kept with their cause.
const LOSSES_KEPT: usize = 20;

/// The counts of a running load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Requests that have been due.
    pub sent: u64,
    /// Those answered in full with a status below 500.
    pub ok: u64,
    /// Those lost.
    pub lost: u64,
}

impl Progress {
    /// Requests that are under way.
    pub fn in_flight(&self) -> u64 {
        self.sent - self.ok - self.lost
    }
}

/// Everything that the report is made of.
#[derive(Default)]
pub(super) struct Record {
    progress: Progress,
    /// Whether there is a bucket for each second, or one for all of them.
    by_second: bool,
    buckets: Vec<Bucket>,
    /// Whoever has answered.
    known: BTreeSet<Arc<(String, String)>>,
    losses: Vec<Loss>,
    lost_at: BTreeMap<String, u64>,
}

/// Requests that were due together.
#[derive(Default)]
struct Bucket {
    sent: u64,
    lost: u64,
    /// Of the served requests of each target and version.
    served: Latencies,
}

/// By target and version; the names are kept once for all buckets of a load.
type Latencies = BTreeMap<Arc<(String, String)>, Measured>;

impl Record {
    /// One that tells the seconds apart, or does not.
    pub(super) fn new(by_second: bool) -> Self {
        Self { by_second, ..Self::default() }
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress
    }

    pub(super) fn sent(&mut self, due: Duration) {
        self.progress.sent += 1;
        self.bucket(due).sent += 1;
    }

    pub(super) fn ended(&mut self, outcome: Outcome) {
        let Outcome { due, latency, answer, .. } = outcome;
        match answer {
            Answer::Served { target, version, .. } => {
                self.progress.ok += 1;
                let who = self.known((target, version));
                let micros = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
                self.bucket(due).served.entry(who).or_default().add(micros);
            }
            Answer::Lost { cause, target } => {
                self.progress.lost += 1;
                self.bucket(due).lost += 1;
                *self.lost_at.entry(target.clone()).or_default() += 1;
                if self.losses.len() < LOSSES_KEPT {
                    self.losses.push(Loss {
                        due_ms: milliseconds(due),
                        ended_ms: milliseconds(due + latency),
                        cause,
                        target,
                    });
                }
            }
        }
    }

    /// The report on a load that sent for this long.
    pub(super) fn report(&self, lasted: Duration) -> Report {
        let Progress { sent, ok, lost } = self.progress;
        let mut served = Latencies::new();
        for bucket in &self.buckets {
            for (who, measured) in &bucket.served {
                served.entry(Arc::clone(who)).or_default().merge(measured);
            }
        }
        let seconds = self.buckets.iter().filter(|_| self.by_second);
        Report {
            lasted_ms: milliseconds(lasted),
            sent,
            ok,
            lost,
            latency: all(&served).latency(),
            served: list(&served),
            losses: self.losses.clone(),
            lost_at: self.lost_at.clone(),
            seconds: (0..).zip(seconds).map(|(second, bucket)| bucket.report(second)).collect(),
        }
    }

    fn known(&mut self, who: (String, String)) -> Arc<(String, String)> {
        let known = self.known.get(&who).cloned();
        known.unwrap_or_else(|| {
            let who = Arc::new(who);
            self.known.insert(Arc::clone(&who));
            who
        })
    }

    fn bucket(&mut self, due: Duration) -> &mut Bucket {
        let place = if self.by_second { usize::try_from(due.as_secs()).unwrap_or(usize::MAX) } else { 0 };
        if self.buckets.len() <= place {
            self.buckets.resize_with(place + 1, Bucket::default);
        }
        &mut self.buckets[place]
    }
}

impl Bucket {
    fn report(&self, second: u64) -> Second {
        Second {
            second,
            sent: self.sent,
            ok: self.served.values().map(Measured::requests).sum(),
            lost: self.lost,
            latency: all(&self.served).latency(),
            served: list(&self.served),
        }
    }
}

fn all(served: &Latencies) -> Measured {
    let mut all = Measured::default();
    served.values().for_each(|measured| all.merge(measured));
    all
}

fn list(served: &Latencies) -> Vec<Served> {
    let served = served.iter().map(|(who, measured)| Served {
        target: who.0.clone(),
        version: who.1.clone(),
        requests: measured.requests(),
        latency: measured.latency(),
    });
    served.collect()
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
