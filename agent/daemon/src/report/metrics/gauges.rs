//! Gauges: how the instance is now, from one view.

use std::collections::BTreeMap;

use pitcrew_core::view::{State, TargetView, View};
use pitcrew_core::wire::TargetState;

use super::Counts;
use super::families as of;
use crate::report::labels::latest_success;

/// Every state, so that a scraper sees which it is not.
const STATES: [State; 7] = [
    State::Starting,
    State::Serving,
    State::Returning,
    State::Deploying,
    State::Held,
    State::Unhealthy,
    State::Leaving,
];

/// Sets them. Without a view the agent is starting, and knows no more than that.
pub(super) fn set(counts: &mut Counts, view: Option<&View>) {
    counts.set(&of::BUILD, &[env!("CARGO_PKG_VERSION")], 1.0);
    let state = view.map_or(State::Starting, |view| view.state);
    for one in STATES {
        counts.set(&of::STATE, &[one.word()], is(one == state));
    }
    counts.set(&of::READY, &[], is(view.is_some_and(|view| view.readiness.ready)));
    let Some(view) = view else { return };
    if let Some(ended) = latest_success(view) {
        counts.set(&of::REVISION, &[ended.revision.name().unwrap_or_default(), ended.deployment.as_str()], 1.0);
    }
    counts.set(&of::HEALTHY, &[], is(view.healthy));
    counts.set(&of::SETTLED, &[], is(view.settled));
    counts.set(&of::BLIND, &[], is(view.blind_since.is_some()));
    counts.set(&of::AT_RISK, &[], is(view.at_risk.is_some()));
    counts.set(&of::TROUBLES, &[], view.troubles.len() as f64);
    counts.set(&of::OPEN, &[], view.deployments.len() as f64);
    for reason in &view.readiness.reasons {
        let blocks = if reason.blocks { "true" } else { "false" };
        counts.with(&of::UNREADY, &[reason.code.word(), blocks], |series| super::add(series, 1.0));
    }
    for probe in &view.probes {
        let advisory = if probe.advisory { "true" } else { "false" };
        if let Some(passing) = probe.passing {
            counts.set(&of::PROBE_PASSING, &[probe.name.as_str(), advisory], is(passing));
        }
    }
    for agent in &view.host_agents {
        counts.set(&of::HOST_AGENT, &[&agent.name], is(agent.trouble.is_none()));
    }
    let mut targets: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for target in &view.targets {
        *targets.entry((target.group.short(), state_of(target))).or_default() += 1.0;
        counts.with(&of::PUT_BACK, &[target.group.short()], |series| super::add(series, f64::from(target.put_back)));
    }
    for ((group, state), count) in targets {
        counts.set(&of::TARGETS, &[group, state], count);
    }
}

fn state_of(target: &TargetView) -> &'static str {
    match &target.balancer {
        _ if target.drained.is_some() => "drained",
        None => "unregistered",
        Some(TargetState::Initial) => "initial",
        Some(TargetState::Healthy) => "healthy",
        Some(TargetState::Unhealthy(_)) => "unhealthy",
        Some(TargetState::Draining) => "draining",
        Some(TargetState::NotInUse) => "unused",
        Some(TargetState::Unavailable(_)) => "unavailable",
        Some(TargetState::Unknown(_)) => "unknown",
    }
}

fn is(truth: bool) -> f64 {
    if truth { 1.0 } else { 0.0 }
}
