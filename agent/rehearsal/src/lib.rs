//! The stand-in world that rehearsals play in.

pub mod app;
pub mod balancer;
pub mod bundle;
pub mod cli;
pub mod clock;
pub mod crew;
pub mod death;
pub mod endpoint;
mod filled;
pub mod host_agent;
pub mod interruption;
pub mod lifecycle;
pub mod load;
mod lock;
pub mod net;
mod output;
pub mod picture;
pub mod rehearsal;
pub mod seat;
pub mod timeline;
pub mod verdict;
pub mod world;
