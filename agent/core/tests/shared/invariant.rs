//! The design's invariants by name, and how one is said to be broken.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invariant {
    /// 1: once leaving, no register call.
    NoReturnOnceLeaving,
    /// 2: what was taken is given back in the end, and what leaves has left.
    NothingStranded,
    /// 3: what was not taken out is not registered.
    OnlyWhatWasTaken,
    /// 4: where CodeDeploy moves traffic, nothing is moved on its deployment's behalf.
    OneOwner,
    /// 5: a call gets exactly one answer, and in time.
    OneAnswerInTime,
    /// 6: what was taken from Elastigroup is given back, or ends by itself.
    ProtectionsEnd,
    /// 7: nothing is started once the time is over.
    WithinTheDeadline,
    /// 8: the last healthy target is spared.
    LastHealthySpared,
    /// Nobody lets a leaving instance go that CodeDeploy may yet put back, as long as the drain has time.
    KeptWhilePutBack,
    /// The application is stopped only when nothing comes to it and nothing is in flight.
    DrainedBeforeDone,
    /// No traffic returns while an application is being replaced.
    OutWhileReplaced,
    /// What is to be given back is written down before it is taken.
    WrittenBeforeTaken,
    /// Something is always scheduled, and nothing spins.
    Lives,
}

/// An invariant that did not hold.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) invariant: Invariant,
    pub(crate) t: u64,
    pub(crate) what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:.3} s: {}", self.invariant, self.t as f64 / 1000.0, self.what)
    }
}
