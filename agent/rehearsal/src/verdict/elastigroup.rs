//! What the world saw of an Elastigroup: protections that end, instances that are left alone, signals in their place.

use std::time::Duration;

use super::Evidence;
use super::invariants::{Judgement, Seen};
use crate::interruption::{Action, Kill};
use crate::timeline::{Entry, Happening};
use crate::world::elastigroup::{GroupFault, GroupReport, Wish};

/// Invariant 6.
pub(super) fn protections(evidence: &Evidence<'_>) -> Seen {
    let Some(report) = evidence.world.group_report() else {
        return (Judgement::NotApplicable, "no Elastigroup in this world".to_owned());
    };
    let answers = fault(evidence).is_none();
    match report.stranded.first() {
        // The agent goes on to try: a world whose API works again at last is played elsewhere.
        Some(stranded) if !answers => {
            return (Judgement::NotApplicable, format!("{stranded}, and the API is still in trouble"));
        }
        Some(stranded) => return (Judgement::Broken, stranded.clone()),
        None => {}
    }
    let gives_back = !matches!(evidence.options.kill_agent_at, Some(Kill::ForGood(_)));
    if let (Some(lasting), true) = (report.lasting.first(), answers && gives_back) {
        return (Judgement::Broken, format!("{lasting}, though nothing is being deployed any more"));
    }
    match (report.lasting.as_slice(), report.protected.len()) {
        ([], 0) => (Judgement::NotApplicable, "nothing was protected".to_owned()),
        ([], 1) => (Judgement::Held, "1 instance was protected, and nothing is any more".to_owned()),
        ([], n) => (Judgement::Held, format!("{n} instances were protected, and none is any more")),
        (lasting, _) => (Judgement::Held, format!("{} end by themselves", lasting.join(", "))),
    }
}

/// Whether the group left alone what was being deployed to.
pub(super) fn left_alone(evidence: &Evidence<'_>, timeline: &[Entry]) -> Option<Seen> {
    let report = evidence.world.group_report()?;
    let group = evidence.options.elastigroup.as_ref()?;
    let wants = match group.wish {
        Some((Wish::ScaleIn | Wish::Replace | Wish::Unhealthy, _)) => true,
        // A roll goes on, whatever happens.
        Some((Wish::Roll, _)) => false,
        None => group.plan.unknown.heals_deregistered,
    };
    if !wants || fault(evidence).is_some() || evidence.deployments.is_empty() {
        return None;
    }
    let detached = evidence.world.notices().into_iter().filter(|notice| notice.action == Action::Elastigroup);
    for notice in detached {
        if let Some((from, until)) = deployed_to(timeline, notice.instance)
            && (from..until).contains(&notice.given)
        {
            let at = notice.given.as_secs_f64();
            let why =
                format!("instance {} was detached at {at:.1} s, in the middle of its deployment", notice.instance);
            return Some((Judgement::Broken, why));
        }
    }
    let passed_over: Vec<_> = report.passed_over.iter().map(|(number, _)| number.to_string()).collect();
    Some(match passed_over.as_slice() {
        [] => (Judgement::NotApplicable, "the group wanted nobody who was being deployed to".to_owned()),
        numbers => (Judgement::Held, format!("the group could not have instance {}", numbers.join(", "))),
    })
}

/// Whether ready was said after a deployment, and only then.
pub(super) fn ready(evidence: &Evidence<'_>, timeline: &[Entry]) -> Option<Seen> {
    let plan = evidence.world.elastigroup_plan.as_ref()?;
    plan.ready?;
    let report = evidence.world.group_report()?;
    let kills = timeline.iter().filter(|entry| matches!(entry.what, Happening::AgentKilled { .. })).count();
    let mut said = Vec::new();
    for seat in evidence.world.seats.iter().filter(|seat| seat.deployed_to) {
        let number = seat.number;
        let signals = signals(&report, number, "INSTANCE_READY");
        let succeeded = evidence.deployments.iter().any(|ended| ended.succeeded_on.contains(&number));
        let goes = evidence.world.notices().iter().any(|notice| notice.instance == number);
        match (signals.as_slice(), succeeded) {
            ([], true) if plan.fault.is_none() && !goes => {
                return Some((Judgement::Broken, format!("instance {number} never said that it is ready")));
            }
            ([first, ..], false) => {
                let at = first.as_secs_f64();
                let why =
                    format!("instance {number} said at {at:.1} s that it is ready, and no deployment had succeeded");
                return Some((Judgement::Broken, why));
            }
            ([_, more @ ..], true) if more.len() > kills && plan.fault.is_none() => {
                return Some((Judgement::Broken, format!("instance {number} said it {} times", more.len() + 1)));
            }
            ([at, ..], true) => {
                let ended = deployed_to(timeline, number).map_or(Duration::ZERO, |(_, until)| until);
                let in_traffic = timeline.iter().find(|entry| {
                    entry.instance == Some(number) && matches!(entry.what, Happening::TargetRegistered { .. })
                });
                if in_traffic.is_some_and(|entry| plan.launches && entry.at < *at) {
                    return Some((Judgement::Broken, format!("instance {number} got traffic before it was ready")));
                }
                let after = at.saturating_sub(ended).as_secs_f64();
                said.push(format!("instance {number} {after:.1} s after its deployment"));
            }
            ([], _) => said.push(format!("instance {number} never")),
        }
    }
    Some((Judgement::Held, said.join("; ")))
}

/// Whether a detached instance said once that it may go, after its drain.
pub(super) fn released(evidence: &Evidence<'_>, timeline: &[Entry]) -> Option<Seen> {
    let plan = evidence.world.elastigroup_plan.as_ref()?;
    let report = evidence.world.group_report()?;
    let mut said = Vec::new();
    for notice in evidence.world.notices() {
        let number = notice.instance;
        if notice.action != Action::Elastigroup || !evidence.options.agents {
            continue;
        }
        let Some(read) = notice.read else {
            said.push(format!("instance {number} was not told"));
            continue;
        };
        let of_instance = |what: fn(&Happening) -> bool| {
            timeline.iter().filter(move |entry| entry.instance == Some(number) && what(&entry.what))
        };
        let kills = of_instance(|what| matches!(what, Happening::AgentKilled { .. })).count();
        let signals = signals(&report, number, "INSTANCE_READY_TO_SHUTDOWN");
        match (signals.as_slice(), plan.shutdown) {
            ([], None) => said.push(format!("instance {number} says nothing where nothing is declared")),
            ([], Some(_)) if plan.fault.is_some() => said.push(format!("instance {number} was not heard")),
            ([], Some(_)) => return Some((Judgement::Broken, format!("instance {number} never said that it may go"))),
            ([_, more @ ..], _) if more.len() > kills => {
                return Some((Judgement::Broken, format!("instance {number} said it {} times", more.len() + 1)));
            }
            ([at, ..], _) => {
                let out = of_instance(|what| matches!(what, Happening::TargetDeregistered { .. }));
                let out = out.map(|entry| entry.at).max().unwrap_or_default();
                if *at < out.max(read) {
                    return Some((Judgement::Broken, format!("instance {number} said it before it was out")));
                }
                let (after, drain) = ((*at - read).as_secs_f64(), (*at - out).as_secs_f64());
                said.push(format!("instance {number} {after:.1} s after it heard, {drain:.1} s after it was out"));
            }
        }
    }
    (!said.is_empty()).then(|| (Judgement::Held, said.join("; ")))
}

pub(super) fn fault(evidence: &Evidence<'_>) -> Option<GroupFault> {
    evidence.world.elastigroup_plan.as_ref().and_then(|plan| plan.fault)
}

/// From the first event of a deployment to the end of the last script.
fn deployed_to(timeline: &[Entry], number: u8) -> Option<(Duration, Duration)> {
    let of_instance = || timeline.iter().filter(move |entry| entry.instance == Some(number));
    let from = of_instance().find(|entry| matches!(entry.what, Happening::ScriptEnded(_)))?.at;
    let until = of_instance().rfind(|entry| matches!(entry.what, Happening::ScriptEnded(_)))?.at;
    Some((from, until))
}

fn signals(report: &GroupReport, number: u8, signal: &str) -> Vec<Duration> {
    let of_instance = report.signals.iter().filter(|(_, record)| record.instance == number && record.signal == signal);
    of_instance.map(|(at, _)| *at).collect()
}
