//! The bootstrap on whole machines: user data run by the real cloud-init, real packages installed by the real
//! package managers, tags accepted by a stand-in of ours and by one of somebody else's.
//!
//! The tests need root and some packages of the distribution; what is missing is a failure under `CI=true`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

mod cost;
mod group;
mod installer;
mod moto;
mod on_amazon_linux;
mod on_debian;
mod packages;
mod world;
