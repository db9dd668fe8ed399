//! The data plane as a whole: what is lost, what is not, and what each side can see of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the stage of a test fails as its test does")]

mod draining;
mod load;
mod losing;
mod real;
mod support;
