//! IMDS as it is: tokens that end, troubles of every kind, notices that come, move and go. In virtual time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../scripted/mod.rs"]
mod scripted;

mod asking;
mod notices;
mod poller;
mod troubles;
mod world;

const SPOT: &str = "meta-data/spot/instance-action";
const REBALANCE: &str = "meta-data/events/recommendations/rebalance";
const LIFECYCLE: &str = "meta-data/autoscaling/target-lifecycle-state";
const SCHEDULED: &str = "meta-data/events/maintenance/scheduled";
const DOCUMENT: &str = "dynamic/instance-identity/document";
