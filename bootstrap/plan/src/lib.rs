//! Bootstrap requests, facts and steps, shared by payload and render.
//!
//! Everything here is `no_std`, allocates nothing and does no input or output: the payload has to
//! fit into user data, and the renderer and the tests must see exactly what the payload will do.
//! Slices are taken apart by `get` and iterators, never by an index that could panic: each panic
//! site costs bytes that user data does not have. Tables of words are single texts for the same
//! reason.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod distribution;
pub mod ec2;
pub mod explain;
pub mod http;
pub mod journal;
pub mod json;
pub mod location;
pub mod request;
pub mod retry;
pub mod sha256;
pub mod ssm;
pub mod step;
pub mod text;
pub mod transfer;
