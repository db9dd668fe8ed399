//! What stands between an agent and its world.

use pitcrew_rehearsal::seat::Seat;

use crate::intake::socket::{Dialer, InProcess};
use crate::run::Doors;

/// Stands between an agent and its world: [`Nobody`], or in tests a saboteur.
pub(super) trait Between: Send + Sync {
    /// The doors as the agent gets them.
    fn doors(&self, _: &Seat, doors: Doors) -> Doors {
        doors
    }

    /// The agent's socket as callers reach it.
    fn socket(&self, socket: (Dialer, InProcess)) -> (Dialer, InProcess) {
        socket
    }
}

/// The agent meets the world as it is.
pub(super) struct Nobody;

impl Between for Nobody {}
