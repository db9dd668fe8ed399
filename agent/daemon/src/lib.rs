//! The resident agent and its command line.

pub mod config;
pub mod doors;
