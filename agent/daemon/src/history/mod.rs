//! Remembers what happened on this instance: in memory for who asks, on disk for after a restart. Bounded in both places.

mod file;
mod record;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::warn;

use file::Segments;
pub(crate) use record::told;
pub use record::{Phase, Record, Stretch, What};

/// What happened here, the newest last. Cloned, it is the same.
#[derive(Clone, Debug)]
pub struct History(Arc<Mutex<Shelf>>);

#[derive(Debug)]
struct Shelf {
    keep: usize,
    recent: VecDeque<Record>,
    segments: Option<Segments>,
    /// A disk that refuses is said once, until it takes a record again.
    refused: bool,
}

impl History {
    /// Remembers `keep` records, until the process ends.
    pub fn in_memory(keep: usize) -> Self {
        Self(Arc::new(Mutex::new(Shelf { keep, recent: VecDeque::new(), segments: None, refused: false })))
    }

    /// Remembers at least `keep` records in `directory`, and knows those that are there already. A line that was torn by
    /// a crash or by a failing disk is left out and counted in the second value. History is never a reason not to run:
    /// where nothing can be written, memory has to do.
    pub fn open(directory: &Path, keep: usize) -> (Self, usize) {
        let (records, torn) = file::read(directory);
        let history = Self::in_memory(keep);
        {
            let mut shelf = history.shelf();
            let skip = records.len().saturating_sub(keep);
            shelf.recent = records.into_iter().skip(skip).collect();
            shelf.segments = Some(Segments::of(directory, keep));
        }
        (history, torn)
    }

    /// What the files in `directory` say, without an agent; and how many lines are torn.
    pub fn read(directory: &Path) -> (Vec<Record>, usize) {
        file::read(directory)
    }

    /// Adds a record.
    pub fn add(&self, record: Record) {
        let mut shelf = self.shelf();
        if let Some(segments) = &mut shelf.segments {
            let outcome = segments.append(&record);
            if let (Err(error), false) = (&outcome, shelf.refused) {
                warn!("the history is not written: {error}");
            }
            shelf.refused = outcome.is_err();
        }
        if shelf.recent.len() >= shelf.keep {
            shelf.recent.pop_front();
        }
        shelf.recent.push_back(record);
    }

    /// The records that are known, the newest last.
    pub fn records(&self) -> Vec<Record> {
        self.shelf().recent.iter().cloned().collect()
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
