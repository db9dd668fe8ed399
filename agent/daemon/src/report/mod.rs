//! Shows the agent to people and to the service manager: status texts, log lines, notifications.

pub mod bootstrap;
pub mod chronicle;
pub mod inventory;
pub mod labels;
pub mod log;
pub mod metrics;
pub mod status;
pub mod systemd;
pub mod watch;
