//! Hears the world: each module turns one source into events for the engine.

pub mod commands;
pub mod host_agents;
pub mod imds;
pub mod probe;
pub mod socket;
