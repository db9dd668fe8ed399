//! The call log: what was asked of the stand-in APIs, by whom, and what came of it.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::targets::TargetId;

/// Who signed a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Caller {
    /// The role of the instance with this number.
    Instance(u8),
    /// CodeDeploy's service, with its own role.
    #[serde(rename = "codedeploy")]
    CodeDeploy,
    /// Somebody with the operator's key (`--hold`).
    Operator,
    /// Somebody who may do what `packaging/iam/operator.json` allows.
    LimitedOperator,
    /// Nobody whom the world knows.
    Unknown,
}

/// One answered call.
#[derive(Debug, Clone, Serialize)]
pub struct Call {
    /// Time since the world came up.
    #[serde(serialize_with = "super::seconds")]
    pub at: Duration,
    /// When the request came. A service that is slow carries it out and answers later.
    #[serde(serialize_with = "super::seconds")]
    pub asked: Duration,
    /// Who called.
    pub caller: Caller,
    /// `elasticloadbalancing`, `autoscaling`, `ec2`, `codedeploy`, `ssm` or `elastigroup`.
    pub service: &'static str,
    /// Operation, or the route of Elastigroup's API.
    pub action: String,
    /// HTTP status of the answer.
    pub status: u16,
    /// Error code of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the call changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
}

/// A change that a call made.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// A target was registered.
    Registered {
        /// Name of the target group.
        group: String,
        /// The target.
        target: TargetId,
        /// Whether it was out, or on the way out, before.
        changed: bool,
        /// Whether it was registered when the world came up.
        from_the_start: bool,
    },
    /// A target was deregistered.
    Deregistered {
        /// Name of the target group.
        group: String,
        /// The target.
        target: TargetId,
        /// Whether it was in before.
        changed: bool,
        /// Targets of other instances that were registered at that time.
        registered_beside: usize,
        /// Those among them that were healthy.
        healthy_beside: usize,
    },
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(number) => write!(f, "instance {number}"),
            Self::CodeDeploy => f.write_str("CodeDeploy"),
            Self::Operator => f.write_str("operator"),
            Self::LimitedOperator => f.write_str("limited operator"),
            Self::Unknown => f.write_str("unknown caller"),
        }
    }
}
