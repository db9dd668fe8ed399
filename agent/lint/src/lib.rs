//! Says what is wrong with an Elastigroup or with a CodeDeploy bundle before either loses a request: offline rules over
//! files, with no cloud account and no agent.
//!
//! [`group::lint`] reads an Elastigroup as the console or the API writes it, or a Terraform plan; [`bundle::check`] reads a
//! directory with an `appspec.yml`, and [`bundle::init`] writes Pitcrew's hooks into one. Both end in a [`Report`].

pub mod bundle;
pub mod group;
pub mod report;
mod rule;
mod shell;
mod yaml;

pub use report::{Finding, Place, Report};
pub use rule::{Rule, Severity, by_id, page, rules};
