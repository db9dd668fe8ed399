//! Instances that are taken away: at any moment, in any way, with whatever trouble on top.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the stage of a test fails as its test does")]

mod delays;
#[path = "../rehearsed/every_core.rs"]
mod every_core;
mod matrix;
mod real;
#[path = "../rehearsed/mod.rs"]
mod rehearsed;
mod support;
mod troubles;
mod ways;
