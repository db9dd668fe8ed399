//! The packages that `packaging/build` has left: what is in them, and their whole life on booted machines.
//!
//! The tests need root, the packages, and some packages of the distribution; what is missing is a failure under `CI=true`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

mod built;
mod contents;
mod deb;
mod files;
mod instance;
mod life;
mod listener;
mod rpm;
mod snippets;
mod units;
mod world;
