//! The resident agent and its command line.

pub mod doors;
