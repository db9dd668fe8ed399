//! What became of one request.

use std::time::Duration;

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
