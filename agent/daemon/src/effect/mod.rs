//! Acts: each effect asks one outside service for one thing and says what came of it. Nobody here decides, and nobody
//! retries: the core does both.

pub mod aws;
pub mod balancer;
pub mod deployments;
mod failure;

pub use balancer::Balancer;
pub use deployments::Deployments;
