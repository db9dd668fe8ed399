//! The stand-in world that rehearsals play in.

pub mod app;
pub mod balancer;
pub mod load;
mod lock;
pub mod net;
