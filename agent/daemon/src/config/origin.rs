//! Where a value comes from, and what is wrong at a place.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A value and where it comes from.
#[derive(Clone, Debug)]
pub(super) struct Chosen<T> {
    pub(super) value: T,
    pub(super) origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// No file says anything.
    Default,
    /// A line of a file, counted from 1.
    File(Arc<Path>, usize),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// Something wrong in a file: `path:line: sentence`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    pub(super) path: Arc<Path>,
    pub(super) line: usize,
    pub(super) sentence: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, sentence } = self;
        write!(f, "{}:{line}: {sentence}", path.display())
    }
}
