//! The stand-in APIs on their wires, and the target group's state machine under random histories.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the stage of a test fails as its test does")]

mod autoscaling;
mod codedeploy;
mod ec2;
mod elbv2;
mod imds;
mod support;
mod targets;
