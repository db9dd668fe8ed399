//! Deployments that die: in any event, of anything, under both generations of CodeDeploy's host agent.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the stage of a test fails as its test does")]

#[path = "../rehearsed/every_core.rs"]
mod every_core;
mod matrix;
mod real;
#[path = "../rehearsed/mod.rs"]
mod rehearsed;
mod rollback;
mod support;
