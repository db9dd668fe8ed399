//! Pitcrew against an AWS API that we did not write: moto, from PyPI, on loopback.
//!
//! moto differs from AWS: targets are healthy at once and gone at once, without `initial` or `draining`; deregistering a
//! target that is not registered is an error; and it has no `GetDeploymentTarget`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod agent;
mod effects;
mod leaving;
mod metadata;
mod operator;
mod outward;
mod server;
