//! The rules over an Elastigroup, `EG…`.

mod codedeploy;
mod health;
mod shape;
mod signals;
mod tags;
mod user_data;

use super::Subject;
use super::model::At;
use crate::rule::Check;

/// All of them, in the order of their ids.
pub(crate) const CHECKS: &[&[Check<Subject>]] = &[
    signals::CHECKS,
    health::CHECKS,
    user_data::encoding::CHECKS,
    user_data::scripts::CHECKS,
    user_data::secrets::CHECKS,
    user_data::bootstrap::CHECKS,
    tags::CHECKS,
    codedeploy::CHECKS,
    shape::CHECKS,
];

impl Subject {
    /// Seconds from launch until the application can answer: with CodeDeploy, its first deployment comes on top.
    fn until_ready_s(&self) -> u64 {
        let deployment = self.group.codedeploy.as_ref().map_or(0, |_| self.options.deployment_s);
        self.options.bootstrap_s + deployment
    }

    /// How that sum comes about, for people.
    fn until_ready(&self) -> String {
        match self.group.codedeploy {
            Some(_) => {
                format!("{} s of bootstrap and {} s of deployment", self.options.bootstrap_s, self.options.deployment_s)
            }
            None => format!("{} s of bootstrap", self.options.bootstrap_s),
        }
    }
}

/// A value below what is needed.
fn below(value: Option<&At<u64>>, needed: u64) -> Option<&At<u64>> {
    value.filter(|at| at.value < needed)
}
