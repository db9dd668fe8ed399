//! Hears the world: each module turns one source into events for the engine.

pub mod imds;
pub mod probe;
pub mod socket;
