//! System tests against third-party parts: what they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

pub mod aws;
pub mod cgroup;
pub mod command;
pub mod machine;
pub mod namespace;
pub mod needs;
pub mod repository;
