//! Acts: each effect asks one outside service for one thing and says what came of it. Nobody here decides, and nobody
//! retries: the core does both.

pub mod announce;
pub mod auto_scaling;
pub mod aws;
pub mod balancer;
pub mod cloudwatch;
mod credentials;
pub mod deployments;
pub mod elastigroup;
pub(crate) mod failure;
pub mod group_health;
pub mod groups;
mod process;
mod query;
pub mod release;
pub mod replace;
pub mod scripts;
pub mod tags;

pub use announce::Announcer;
pub use auto_scaling::AutoScaling;
pub use balancer::{Balancer, OwnIds};
pub use cloudwatch::CloudWatch;
pub use deployments::Deployments;
pub use elastigroup::Elastigroup;
pub use group_health::GroupHealth;
pub use release::Release;
pub use replace::Replace;
pub use tags::Tags;
