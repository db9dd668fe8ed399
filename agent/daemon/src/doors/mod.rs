//! The doors: every way in which this process reaches the world outside, so that a rehearsal can stand behind them.
//!
//! The real doors are used by `pitcrew run`; the simulated world brings its own, and the engine, the effects and the
//! intake between them are the same.

mod boot;
mod clock;
mod commands;
mod connections;
mod credentials;
mod host;
mod plain;
mod transport;

pub use boot::{BOOT_ID, boot_id};
pub use clock::{Clock, SystemClock, TokioClock};
pub use commands::{Commands, OngoingDirectory};
pub use connections::{Connections, HostConnections};
pub use credentials::{CredentialError, Credentials};
pub use host::HostTransport;
pub(crate) use transport::with_causes;
pub use transport::{Operation, Transport, TransportError};
