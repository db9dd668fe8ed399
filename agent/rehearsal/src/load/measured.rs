//! Latencies as they were measured, each distinct one kept once: exact, and small however many requests there are.

use std::collections::BTreeMap;

use super::report::Latency;

/// How often each latency was measured, by microseconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Measured(BTreeMap<u32, u32>);

impl Measured {
    pub(super) fn add(&mut self, micros: u32) {
        *self.0.entry(micros).or_default() += 1;
    }

    /// Adds what another has measured.
    pub(super) fn merge(&mut self, other: &Self) {
        for (micros, times) in &other.0 {
            *self.0.entry(*micros).or_default() += times;
        }
    }

    /// How many there are.
    pub(super) fn requests(&self) -> u64 {
        self.0.values().copied().map(u64::from).sum()
    }

    /// The exact percentiles.
    pub(super) fn latency(&self) -> Latency {
        let requests = self.requests();
        let at = |per_mille: u64| {
            let rank = (requests * per_mille).div_ceil(1000);
            let mut counted = 0;
            let micros = self.0.iter().find_map(|(micros, times)| {
                counted += u64::from(*times);
                (counted >= rank).then_some(*micros)
            });
            f64::from(micros.unwrap_or_default()) / 1000.0
        };
        Latency { p50_ms: at(500), p90_ms: at(900), p99_ms: at(990), p999_ms: at(999), max_ms: at(1000) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: impl IntoIterator<Item = u32>) -> Measured {
        let mut measured = Measured::default();
        micros.into_iter().for_each(|micros| measured.add(micros));
        measured
    }

    #[test]
    fn percentiles_are_the_ranks_of_what_was_measured() {
        let measured = of((1..=1000).rev().map(|ms| ms * 1000));
        let expected = Latency { p50_ms: 500.0, p90_ms: 900.0, p99_ms: 990.0, p999_ms: 999.0, max_ms: 1000.0 };
        assert_eq!(measured.latency(), expected);
        assert_eq!(measured.requests(), 1000);
    }

    #[test]
    fn one_request_is_every_percentile_and_none_is_zero() {
        let one = of([2500]).latency();
        assert_eq!((one.p50_ms, one.p999_ms, one.max_ms), (2.5, 2.5, 2.5));
        assert_eq!(of([]).latency(), Latency::default());
    }

    #[test]
    fn what_was_measured_apart_is_judged_together() {
        let mut all = of([1000; 90]);
        all.merge(&of([1000; 5]));
        all.merge(&of([7000; 5]));
        assert_eq!((all.requests(), all.latency().p90_ms, all.latency().p99_ms), (100, 1.0, 7.0));
    }
}
