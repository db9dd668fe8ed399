//! `[agents]`: how the agents of AWS on this host are looked after.

use std::time::Duration;

use super::value::words;

/// `[agents]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agents {
    /// From one look to the next.
    pub look: Duration,
    /// One that has been wrong for so long is stuck.
    pub stuck_after: Duration,
    /// What becomes of it.
    pub restart: Restart,
    /// Whether Systems Manager's inventory is told of this instance.
    pub inventory: bool,
}

/// Whether root restarts an agent that is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// At most once an hour, and never during a deployment.
    WhenStuck,
    /// It is only said.
    Never,
}

words!(Restart { WhenStuck = "when-stuck", Never = "never" });
