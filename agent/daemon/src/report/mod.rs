//! Shows the agent to people and to the service manager: status texts, log lines, notifications.

pub mod bootstrap;
pub mod log;
pub mod status;
pub mod systemd;
pub mod watch;
