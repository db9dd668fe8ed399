//! Judges a rehearsal by what the world saw, never by the agent's word alone.

mod elastigroup;
mod invariants;
mod leaving;
mod ownership;
mod service;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::filled::filled;
use crate::load;
use crate::rehearsal::{Aftermath, Ended, Hooks, Options};
use crate::seat::Seat;
use crate::timeline::{Entry, Happening};
use crate::world::World;
use crate::world::calls::Call;
use crate::world::elastigroup::RouteLoad;

pub use invariants::{Finding, Judgement};
pub use leaving::NoticeReport;
pub use service::Absence;

/// What a rehearsal leaves behind for the judge.
pub(crate) struct Evidence<'a> {
    pub(crate) options: &'a Options,
    pub(crate) world: &'a Arc<World>,
    pub(crate) load: load::Report,
    pub(crate) load_started: Duration,
    pub(crate) deployments: Vec<Ended>,
    pub(crate) aftermath: Option<Aftermath>,
    /// How long after the last deployment everything was where it belongs.
    pub(crate) settled: Option<Duration>,
    pub(crate) last_sight: Vec<LastSight>,
    pub(crate) simulated: bool,
}

/// An instance at the end of a rehearsal.
pub(crate) struct LastSight {
    pub(crate) seat: Seat,
    /// The release that answers, healthy, on the instance itself.
    pub(crate) healthy_release: Option<String>,
    /// Whether it is healthy in every place that it had at the start.
    pub(crate) is_back: bool,
    pub(crate) in_traffic: Vec<String>,
    /// What its agent says, where there is one.
    pub(crate) status: Option<Result<Value, String>>,
}

/// The outcome of one rehearsal: printed as text, or as JSON as it is.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Nothing was lost and no finding is broken.
    pub passed: bool,
    /// The seed that plays it again.
    pub seed: u64,
    /// Whether it ran in one process under virtual time.
    pub simulated: bool,
    /// Requests, latencies, and the seconds of the load.
    pub load: load::Report,
    /// When the load began, in seconds since the world came up: its own times count from there.
    #[serde(serialize_with = "crate::world::seconds")]
    pub load_started: Duration,
    /// Why requests were lost, as far as the world can tell.
    pub reasons: Vec<String>,
    /// Each instance's application, as the load names it.
    pub targets: BTreeMap<u8, String>,
    /// How each deployment ended.
    pub deployments: Vec<Ended>,
    /// What became of the instance on which a deployment died, before the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aftermath: Option<Aftermath>,
    /// When each instance was out of service, and what for.
    pub absences: Vec<Absence>,
    /// One line an expectation or invariant.
    pub findings: Vec<Finding>,
    /// Everything that happened.
    pub timeline: Vec<Entry>,
    /// Every call to AWS except the metadata service.
    pub calls: Vec<Call>,
    /// Each notice that was given, and how soon it had its effect.
    pub notices: Vec<NoticeReport>,
    /// Requests to Elastigroup's API, by route.
    pub elastigroup_routes: Vec<RouteLoad>,
    /// Requests to the metadata services.
    pub metadata_requests: usize,
    /// The same by each agent, in a minute.
    pub metadata_requests_per_minute: f64,
}

/// Judges.
pub(crate) fn judge(evidence: Evidence<'_>) -> Report {
    let timeline = evidence.world.timeline.entries();
    let calls = evidence.world.calls();
    let findings = invariants::check(&evidence, &timeline, &calls);
    let broken = findings.iter().any(|finding| finding.judgement == Judgement::Broken);
    let reasons = if evidence.load.lost == 0 { Vec::new() } else { reasons(&evidence, &timeline) };
    Report {
        passed: evidence.load.lost == 0 && !broken,
        seed: evidence.options.seed,
        simulated: evidence.simulated,
        absences: service::absences(&evidence.world.seats, &timeline),
        elastigroup_routes: evidence.world.group_report().map(|report| report.routes).unwrap_or_default(),
        notices: leaving::notices(&evidence, &calls),
        metadata_requests: evidence.world.seats.iter().map(|seat| evidence.world.metadata_asked(seat).len()).sum(),
        metadata_requests_per_minute: leaving::metadata_rate(evidence.world, &timeline),
        load: evidence.load,
        load_started: evidence.load_started,
        reasons,
        targets: filled(evidence.world.seats.iter().map(|seat| (seat.number, seat.application.to_string()))),
        deployments: evidence.deployments,
        aftermath: evidence.aftermath,
        findings,
        timeline,
        calls,
    }
}

/// Sentences that name why requests were lost: first what stopped an application in traffic, then what clients saw.
fn reasons(evidence: &Evidence<'_>, timeline: &[Entry]) -> Vec<String> {
    let mut reasons = Vec::new();
    for (place, entry) in timeline.iter().enumerate() {
        let Happening::ApplicationStopped { in_traffic } = &entry.what else {
            continue;
        };
        if in_traffic.is_empty() {
            continue;
        }
        let number = entry.instance.unwrap_or_default();
        let event = timeline[..place].iter().rev().find_map(|before| match &before.what {
            Happening::EventStarted { event, .. } if before.instance == entry.instance => Some(*event),
            _ => None,
        });
        let at = entry.at.as_secs_f64();
        let groups = in_traffic.join(", ");
        let taken_away = timeline[place..].iter().take_while(|after| after.at == entry.at);
        let taken_away =
            taken_away.into_iter().any(|after| after.instance == entry.instance && after.what == Happening::TakenAway);
        if taken_away {
            reasons.push(format!("at {at:.1} s instance {number} was taken away in traffic of {groups}"));
            continue;
        }
        let Some(event) = event else {
            reasons.push(format!("at {at:.1} s instance {number} stopped its application in traffic of {groups}"));
            continue;
        };
        let previous = event.runs_previous_revision();
        let (revision, shims) = if previous {
            (evidence.options.previous(), evidence.options.hooks == Hooks::Both)
        } else {
            (evidence.options.revision(), evidence.options.hooks != Hooks::None)
        };
        let whose = if previous { "the previous revision" } else { "the new revision" };
        let why = if shims {
            "although its hook had been called before"
        } else {
            "which has no `pitcrew hook` shim before it stops"
        };
        reasons.push(format!(
            "at {at:.1} s instance {number} stopped its application while {groups} still sent it requests: {event} runs \
             the scripts of {whose} ({}), {why}",
            revision.revision
        ));
    }
    let mut seen: Vec<(&str, &str, usize)> = Vec::new();
    for loss in &evidence.load.losses {
        match seen.iter_mut().find(|(cause, target, _)| *cause == loss.cause && *target == loss.target) {
            Some((_, _, count)) => *count += 1,
            None => seen.push((&loss.cause, &loss.target, 1)),
        }
    }
    reasons.extend(seen.into_iter().map(|(cause, target, count)| {
        let at = if target.is_empty() { String::new() } else { format!(" at {target}") };
        format!("{count} of the first {} lost requests{at}: {cause}", evidence.load.losses.len())
    }));
    reasons
}
