//! Notices: what says that this instance will be, or may be, taken away.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::{Now, WallTime, millis};

/// One notice, as its source gave it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Notice {
    /// What will happen, and by whom it was said.
    pub kind: NoticeKind,
    /// When it will happen, where the source says so. Past times are taken as "now".
    pub time: Option<WallTime>,
}

/// What will happen to the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeKind {
    /// Spot takes it back for good, about two minutes ahead.
    SpotTerminate,
    /// Spot stops it, about two minutes ahead.
    SpotStop,
    /// Spot hibernates it: freezing has begun.
    SpotHibernate,
    /// Advice only: the risk of an interruption is elevated.
    Rebalance,
    /// A scheduled maintenance event of EC2.
    Scheduled,
    /// An Auto Scaling group wants it gone.
    AutoScaling,
    /// Elastigroup detached it.
    Elastigroup,
    /// The operating system, or the unit, is stopping.
    Shutdown,
    /// An operator said so.
    Operator,
}

impl Notice {
    /// An operator wants the instance gone `within` this time; `None`: within the budget.
    pub fn of_operator(now: Now, within: Option<Duration>) -> Self {
        let time = within.map(|within| WallTime(now.wall.0.saturating_add(millis(within))));
        Self { kind: NoticeKind::Operator, time }
    }
}

impl NoticeKind {
    /// The word used in logs, metrics, the ledger and for people.
    pub fn word(self) -> &'static str {
        match self {
            NoticeKind::SpotTerminate => "spot-terminate",
            NoticeKind::SpotStop => "spot-stop",
            NoticeKind::SpotHibernate => "spot-hibernate",
            NoticeKind::Rebalance => "rebalance",
            NoticeKind::Scheduled => "scheduled",
            NoticeKind::AutoScaling => "auto-scaling",
            NoticeKind::Elastigroup => "elastigroup",
            NoticeKind::Shutdown => "shutdown",
            NoticeKind::Operator => "operator",
        }
    }
}

impl fmt::Display for NoticeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
