//! The packages that `packaging/build` has left: what is in them, and their whole life on booted machines.
//!
//! The tests need root, the packages, and some packages of the distribution; what is missing is a failure under `CI=true`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

mod built;
#[path = "../bootstrap_system/command.rs"]
mod command;
mod contents;
mod deb;
mod instance;
mod listener;
#[allow(dead_code, reason = "the bootstrap's tests need more")]
#[path = "../bootstrap_system/namespace.rs"]
mod namespace;
#[allow(dead_code, reason = "the bootstrap's tests need more")]
#[path = "../bootstrap_system/needs.rs"]
mod needs;
mod rpm;
mod snippets;
mod units;
mod world;
