//! Decides: events in, actions out. No I/O, no clock, no async, no AWS types.

pub mod ids;
pub mod lifecycle;
pub mod notice;
pub mod settings;
pub mod time;
pub mod wire;
