//! Decides: events in, actions out. No I/O, no clock, no async, no AWS types.
//!
//! The engine of the `pitcrew` daemon is the only caller: it turns what it hears into [`wire::Event`]s, writes
//! [`Core::memory`] down, and carries out the [`wire::Action`]s. Read [`traffic`] first: one function says where
//! traffic belongs; everything else brings it there.

mod asks;
mod calls;
mod commands;
mod core;
mod groups;
mod health;
mod leases;
mod targets;

pub mod elastigroup;
pub mod ids;
pub mod leaving;
pub mod lifecycle;
pub mod memory;
pub mod notice;
pub mod readiness;
pub mod revision;
pub mod settings;
pub mod standing;
pub mod stranded;
pub mod suspect;
pub mod time;
pub mod traffic;
pub mod view;
pub mod wire;

pub use crate::core::Core;
