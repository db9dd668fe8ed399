//! What people copy: the examples of `--help` and of the man pages, which are made of it, and the commands, settings and
//! configurations in the documentation. What is written there is understood; what needs neither AWS nor root is run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests stop at the first surprise"
)]

mod commands;
mod configurations;
mod examples;
mod pages;
mod played;
