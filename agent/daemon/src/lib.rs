//! The resident agent and its command line.

pub mod cli;
pub mod config;
pub mod doctor;
pub mod doors;
pub mod effect;
pub mod engine;
pub mod ensure;
pub mod history;
pub mod http;
pub mod intake;
pub mod ledger;
pub mod protocol;
pub mod report;
pub mod run;
pub mod simulated;
pub mod supervise;
