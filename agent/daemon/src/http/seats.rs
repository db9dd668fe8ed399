//! Who is connected: a bounded number, of whom the oldest makes room for the newest.
//!
//! A newcomer is never refused: an attacker who holds every place open would else keep the balancer out, whose question
//! decides about traffic.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use crate::report::metrics::{Metrics, families as of};

/// The places on one address.
#[derive(Clone)]
pub(super) struct Seats {
    limit: usize,
    metrics: Metrics,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    next: u64,
    /// In the order in which they came.
    by_age: BTreeMap<u64, (AbortHandle, Arc<AtomicBool>)>,
}

/// One place; dropped, it is free.
pub(super) struct Seat {
    number: u64,
    busy: Arc<AtomicBool>,
    seats: Seats,
    left: bool,
}

impl Seats {
    pub(super) fn new(limit: usize, metrics: Metrics) -> Self {
        Self { limit, metrics, taken: Arc::default() }
    }

    /// A place for a newcomer. Where all are taken, the oldest is closed that is not being answered, else the oldest.
    pub(super) fn take(&self) -> Seat {
        let mut taken = self.taken();
        if taken.by_age.len() >= self.limit {
            let idle = taken.by_age.iter().find(|(_, (_, busy))| !busy.load(Ordering::Relaxed));
            let leaving = idle.or_else(|| taken.by_age.iter().next()).map(|(number, _)| *number);
            if let Some((handle, _)) = leaving.and_then(|number| taken.by_age.remove(&number)) {
                handle.abort();
            }
        }
        taken.next += 1;
        Seat { number: taken.next, busy: Arc::default(), seats: self.clone(), left: false }
    }

    /// The newcomer, whose seat was the last taken, can be asked to leave by `handle`.
    pub(super) fn fill(&self, handle: AbortHandle, busy: Arc<AtomicBool>) {
        let mut taken = self.taken();
        let number = taken.next;
        taken.by_age.insert(number, (handle, busy));
        self.metrics.set(&of::HTTP_OPEN, &[], taken.by_age.len() as f64);
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// True while an answer is looked for.
    pub(super) fn busy(&self) -> Arc<AtomicBool> {
        self.busy.clone()
    }

    /// The conversation has come to its own end.
    pub(super) fn leave(mut self) {
        self.left = true;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.left {
            self.seats.metrics.count(&of::HTTP_CONNECTIONS, &["evicted"]);
        }
        let mut taken = self.seats.taken();
        taken.by_age.remove(&self.number);
        self.seats.metrics.set(&of::HTTP_OPEN, &[], taken.by_age.len() as f64);
    }
}
