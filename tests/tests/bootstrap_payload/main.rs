//! The real payload as a process: against a stand-in for IMDS, S3 and EC2 that can fail in every way that we know,
//! on a machine whose package manager and systemd are doubles. Its real ones are met in `bootstrap_system`.
//!
//! `PITCREW_PAYLOAD_ARCH=aarch64` builds and runs the payload of another architecture, under user-mode emulation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

mod distributions;
mod endurance;
mod faults;
mod host;
mod payload;
mod size;
mod steps;
mod world;
