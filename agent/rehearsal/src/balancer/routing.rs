//! What the control plane tells the data plane, and what it hears back.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::time::Instant;

/// The control plane as the data plane sees it. Asked for every request: answer from memory.
pub trait Routing: Send + Sync {
    /// What the data plane knows now: propagation lag and fail-open are already applied.
    ///
    /// A target that is absent gets neither requests nor checks, and what it still carries is cut.
    fn routes(&self) -> Vec<Route>;

    /// How targets are checked; read again before each check.
    fn check_plan(&self) -> CheckPlan;

    /// Takes the result of one health check.
    fn checked(&self, endpoint: SocketAddr, result: CheckResult);
}

/// One target and what it may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where the target listens, for requests and checks alike.
    pub endpoint: SocketAddr,
    /// What it may carry.
    pub stance: Stance,
}

/// What a target may carry. All three are health-checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stance {
    /// Registered and checked, but given no new requests (initial or unhealthy).
    Checked,
    /// Given new requests in its turn.
    Serving,
    /// Deregistered: given no new requests; those in flight may finish.
    Draining {
        /// When what is still in flight is cut.
        until: Instant,
    },
}

impl Stance {
    /// Whether the target has been deregistered.
    pub(crate) fn is_draining(self) -> bool {
        match self {
            Self::Draining { .. } => true,
            Self::Checked | Self::Serving => false,
        }
    }
}

/// How targets are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckPlan {
    /// From the start of one check to the start of the next.
    pub interval: Duration,
    /// How long one check may take, connecting included.
    pub timeout: Duration,
    /// What is asked for, such as `/health`.
    pub path: String,
    /// The status codes that pass.
    pub matcher: RangeInclusive<u16>,
}

/// How one health check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckResult {
    /// The target answered in time with a matching status.
    Passed,
    /// It did not.
    Failed(CheckFailure),
}

/// Why a health check failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckFailure {
    /// The target answered with a status that does not match.
    #[error("answered {0}")]
    Status(u16),
    /// The target said nothing within the plan's timeout.
    #[error("no answer in time")]
    Silent,
    /// No connection, or none that lived until an answer; why, in a few words.
    #[error("{0}")]
    Connection(String),
}
