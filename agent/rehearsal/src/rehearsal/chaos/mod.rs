//! Chaos: deployments, notices, faults and kills at random, one upon the other. What happens when is drawn first, as a
//! value; then it is played. So a seed plays again exactly, and a plan that fails can be made shorter.

mod plan;
mod player;
mod shrink;

pub use plan::{Plan, Turn, What};
pub use shrink::shrink;

pub(super) use player::play;
