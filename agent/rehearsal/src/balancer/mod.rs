//! The balancer's data plane: carries requests to targets and checks their health.

mod routing;

pub use routing::{CheckPlan, CheckResult, Route, Routing, Stance};
