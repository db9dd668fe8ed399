//! Plays a matrix of simulated rehearsals on every core.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What came of each cell with each of these seeds, in their order.
pub(crate) fn play_all<C: Copy + Ord + Send + Sync, R: Send>(
    cells: &[C],
    seeds: RangeInclusive<u64>,
    play: impl Fn(C, u64) -> R + Sync,
) -> BTreeMap<C, Vec<R>> {
    let next = AtomicUsize::new(0);
    let results: Mutex<BTreeMap<C, Vec<R>>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let played = seeds.clone().map(|seed| play(*cell, seed)).collect();
                    results.lock().unwrap().insert(*cell, played);
                }
            });
        }
    });
    results.into_inner().unwrap()
}
