//! The resident agent and its command line.

pub mod config;
pub mod doors;
pub mod effect;
pub mod intake;
pub mod ledger;
pub mod protocol;
