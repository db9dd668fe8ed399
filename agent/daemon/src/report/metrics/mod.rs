//! Counts what happens here, for Prometheus: every metric in one table, fed where things happen, written on request.

pub(crate) mod families;
mod gauges;
mod process;
mod text;
mod transport;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pitcrew_core::view::View;
use tokio::time::Instant;

pub use families::{FAMILIES, Family, Kind};
pub use text::{Format, reference};
pub use transport::Metered;

use families as of;

/// All counts of this process. Cloned, it is the same ones.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    /// By the family's name; those of one family in the order of their labels' values.
    series: BTreeMap<&'static str, Vec<(Vec<String>, Series)>>,
    blind_since: Option<Instant>,
}

/// One series of a family.
#[derive(Clone, Debug)]
enum Series {
    Number(f64),
    Histogram {
        /// How many were at most as large as each bound; the last is for all.
        buckets: Vec<u64>,
        sum: f64,
    },
}

impl Metrics {
    /// Counts one more. `labels` are the values, in the order of the family's names.
    pub fn count(&self, family: &'static Family, labels: &[&str]) {
        self.add(family, labels, 1.0);
    }

    /// Adds to a counter.
    pub fn add(&self, family: &'static Family, labels: &[&str], more: f64) {
        self.counts().with(family, labels, |series| match series {
            Series::Number(number) => *number += more,
            Series::Histogram { .. } => {}
        });
    }

    /// Sets a gauge.
    pub fn set(&self, family: &'static Family, labels: &[&str], value: f64) {
        self.counts().set(family, labels, value);
    }

    /// Takes a duration into a histogram.
    pub fn observe(&self, family: &'static Family, labels: &[&str], duration: Duration) {
        let seconds = duration.as_secs_f64();
        self.counts().with(family, labels, |series| match series {
            Series::Number(_) => {}
            Series::Histogram { buckets, sum } => {
                for (bucket, bound) in buckets.iter_mut().zip(family.bounds().chain([f64::INFINITY])) {
                    *bucket += u64::from(seconds <= bound);
                }
                *sum += seconds;
            }
        });
    }

    /// The metadata service answers no longer, or again.
    pub fn blind(&self, blind: bool) {
        let mut counts = self.counts();
        match (blind, counts.blind_since) {
            (true, None) => counts.blind_since = Some(Instant::now()),
            (false, Some(since)) => {
                counts.blind_since = None;
                counts.with(&of::BLIND_SECONDS, &[], |series| add(series, since.elapsed().as_secs_f64()));
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Everything as text, gauges as `view` shows the instance now; `None`: the agent is still starting.
    pub fn written(&self, format: Format, view: Option<&View>) -> String {
        let mut counts = self.counts().clone_for_writing();
        gauges::set(&mut counts, view);
        process::measure(&mut counts);
        text::written(&counts, format)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn set(&mut self, family: &'static Family, labels: &[&str], value: f64) {
        self.with(family, labels, |series| *series = Series::Number(value));
    }

    fn with(&mut self, family: &'static Family, labels: &[&str], change: impl FnOnce(&mut Series)) {
        debug_assert_eq!(family.labels.len(), labels.len(), "{}", family.name);
        let series = self.series.entry(family.name).or_default();
        let place = series.binary_search_by(|(known, _)| known.iter().map(String::as_str).cmp(labels.iter().copied()));
        match place {
            // Nothing is allocated here: each request that is answered comes this way.
            Ok(place) => series.get_mut(place).map(|(_, one)| change(one)),
            Err(place) => {
                let mut one = Series::empty(family);
                change(&mut one);
                series.insert(place, (labels.iter().map(|label| (*label).to_owned()).collect(), one));
                None
            }
        };
    }

    fn clone_for_writing(&self) -> Self {
        let mut counts = Self { series: self.series.clone(), blind_since: None };
        let blind = self.blind_since.map_or(0.0, |since| since.elapsed().as_secs_f64());
        counts.with(&of::BLIND_SECONDS, &[], |series| add(series, blind));
        counts
    }
}

impl Series {
    fn empty(family: &Family) -> Self {
        match family.kind {
            Kind::Counter | Kind::Gauge | Kind::Info => Series::Number(0.0),
            Kind::Histogram { bounds } => Series::Histogram { buckets: vec![0; bounds.len() + 1], sum: 0.0 },
        }
    }
}

fn add(series: &mut Series, more: f64) {
    match series {
        Series::Number(number) => *number += more,
        Series::Histogram { .. } => {}
    }
}

#[cfg(test)]
mod tests;
