//! The status for people: one sentence first, then what it rests on.

use std::time::Duration;

use pitcrew_core::elastigroup::ElastigroupView;
use pitcrew_core::memory::{Ended, Ending};
use pitcrew_core::notice::Notice;
use pitcrew_core::revision::Revision;
use pitcrew_core::time::{Spoken, WallTime};
use pitcrew_core::view::{DeploymentView, HoldView, ProbeView, TargetView, View};
use pitcrew_core::wire::{HostAgent, Owner};
use time::OffsetDateTime;

/// Whether lines tell how long ago something was; they change by themselves then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ages {
    /// For a look at this moment.
    Shown,
    /// For comparing with another moment.
    Hidden,
}

/// The lines that show `view`.
pub fn lines(view: &View, ages: Ages) -> Vec<String> {
    let mut lines = vec![view.sentence.clone()];
    lines.extend(remarks(view, ages));
    section(&mut lines, "targets", view.targets.iter().map(target));
    section(&mut lines, "deployments", view.deployments.iter().map(|open| deployment(open, ages)));
    section(&mut lines, "ended", view.ended.iter().rev().take(3).map(ended));
    section(&mut lines, "health", view.probes.iter().map(|one| probe(one, ages)));
    section(&mut lines, "agents of AWS", view.host_agents.iter().map(host_agent));
    section(&mut lines, "troubles", view.troubles.iter().map(|trouble| vec![trouble.clone()]));
    lines
}

/// What stands beside the sentence, one line each.
fn remarks(view: &View, ages: Ages) -> Vec<String> {
    let mut remarks = Vec::new();
    match view.hold {
        Some(HoldView { until: Some(until) }) => remarks.push(format!("the hold ends at {}", clock(until))),
        Some(HoldView { until: None }) => remarks.push("the hold ends with `pitcrew in`".to_owned()),
        None => {}
    }
    remarks.extend(view.notices.iter().map(|notice| format!("notice: {}", said(notice))));
    if let (Some(left), Ages::Shown) = (view.leaving_in_ms, ages) {
        remarks.push(format!("{} left", spoken(left)));
    }
    remarks.extend(view.elastigroup.iter().flat_map(elastigroup));
    remarks.extend(view.at_risk.iter().map(|advice| format!("at risk: {}", said(advice))));
    remarks.extend(view.blind_since.map(|since| {
        let since = clock(since);
        format!("blind since {since}: the metadata service does not answer, a notice may stand there unheard")
    }));
    remarks
}

/// What was taken from Elastigroup, and what it said.
fn elastigroup(view: &ElastigroupView) -> Vec<String> {
    let mut remarks = Vec::new();
    remarks.extend(view.standby_since.map(|since| format!("in standby at Elastigroup since {}", clock(since))));
    remarks.extend(view.locked_until.map(|until| format!("locked against scale-in until {}", clock(until))));
    if let Some(until) = view.suspended_until {
        let processes: Vec<_> = view.suspended.iter().map(|process| process.word()).collect();
        remarks.push(format!("{} of the Elastigroup suspended until {}", processes.join(", "), clock(until)));
    }
    if let Some(receipt) = &view.ready {
        let expires = receipt.expires.map(|at| format!(" (its time ends at {})", clock(at))).unwrap_or_default();
        let message = receipt.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
        remarks.push(format!("Elastigroup was told that this instance is ready{expires}{message}"));
    }
    remarks
}

fn target(view: &TargetView) -> Vec<String> {
    let zone = view.target.zone.as_ref().map(|zone| format!(" in {zone}")).unwrap_or_default();
    let mut remarks = Vec::new();
    if view.taken_out {
        remarks.push("to be given back".to_owned());
    }
    match view.put_back {
        0 => {}
        1 => remarks.push("put back once by somebody else".to_owned()),
        times => remarks.push(format!("put back {times} times by somebody else")),
    }
    vec![
        view.group.short().to_owned(),
        format!("{}:{}{zone}", view.target.id, view.target.port),
        view.standing.clone(),
        remarks.join(", "),
    ]
}

fn deployment(view: &DeploymentView, ages: Ages) -> Vec<String> {
    let silent = match ages {
        Ages::Shown => format!(" {} ago", spoken(view.silent_ms)),
        Ages::Hidden => String::new(),
    };
    let traffic = match (view.owner, view.holds_traffic) {
        (Owner::Pitcrew, true) => "holds traffic",
        (Owner::Pitcrew, false) => "does not hold traffic",
        (Owner::Elastigroup, true) => "keeps the instance in standby",
        (Owner::Elastigroup, false) => "does not keep the instance in standby",
        (Owner::CodeDeploy, true | false) => "CodeDeploy moves traffic",
    };
    vec![
        view.id.to_string(),
        view.group.to_string(),
        format!("{}{silent}", view.last_event),
        format!("{traffic}, since {}", clock(view.opened)),
        revision(&view.revision),
    ]
}

fn revision(revision: &Revision) -> String {
    revision.name().map(|name| format!("revision {name}")).unwrap_or_default()
}

fn ended(ended: &Ended) -> Vec<String> {
    let how = match ended.how {
        Ending::Succeeded => "succeeded",
        Ending::HookFailed => "a hook failed",
        Ending::SucceededUnheard => "succeeded, says CodeDeploy",
        Ending::Dead => "failed or was stopped, says CodeDeploy",
        Ending::AssumedDead => "fell silent",
        Ending::Superseded => "the next one of its group came",
        Ending::Left => "the instance left",
    };
    vec![
        ended.deployment.to_string(),
        ended.group.to_string(),
        how.to_owned(),
        format!("at {}, after {}", clock(ended.at), ended.last_event),
        revision(&ended.revision),
    ]
}

fn probe(view: &ProbeView, ages: Ages) -> Vec<String> {
    let age = match (ages, view.answered_ms) {
        (Ages::Shown, Some(ms)) => format!("{} ago", spoken(ms)),
        (Ages::Shown | Ages::Hidden, None) | (Ages::Hidden, Some(_)) => String::new(),
    };
    let passing = match view.passing {
        None => "has not answered yet",
        Some(true) => "passing",
        Some(false) => "failing",
    };
    let reason = view.reason.as_ref().filter(|_| view.passing != Some(true)).cloned();
    let advisory = if view.advisory { "advisory" } else { "" };
    vec![view.name.to_string(), passing.to_owned(), advisory.to_owned(), age, reason.unwrap_or_default()]
}

fn host_agent(agent: &HostAgent) -> Vec<String> {
    let works = match (&agent.trouble, agent.running) {
        (Some(_), _) => "does not work",
        (None, Some(true)) => "works",
        (None, Some(false) | None) => "is installed",
    };
    vec![agent.name.clone(), works.to_owned(), agent.version.clone().unwrap_or_default()]
}

fn said(notice: &Notice) -> String {
    match notice.time {
        Some(time) => format!("{} at {}", notice.kind, clock(time)),
        None => notice.kind.to_string(),
    }
}

/// Adds a heading and its rows, columns aligned; nothing where there are no rows.
fn section(lines: &mut Vec<String>, heading: &str, rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return;
    }
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(move |row| row.get(column)).map(|cell| cell.chars().count());
    let widths: Vec<usize> = (0..columns).map(|column| width(column).max().unwrap_or(0)).collect();
    lines.push(String::new());
    lines.push(heading.to_owned());
    for row in &rows {
        let cells = row.iter().zip(&widths).filter(|(_, width)| **width > 0);
        let cells: Vec<_> = cells.map(|(cell, width)| format!("{cell:<width$}")).collect();
        lines.push(format!("  {}", cells.join("  ")).trim_end().to_owned());
    }
}

fn spoken(ms: u64) -> Spoken {
    Spoken(Duration::from_millis(ms))
}

/// A time for people: `2026-11-23 05:44:41 UTC`.
pub(crate) fn clock(time: WallTime) -> String {
    let seconds = i64::try_from(time.0 / 1000).unwrap_or(i64::MAX);
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(at) => {
            let (hour, minute, second) = at.to_hms();
            format!("{} {hour:02}:{minute:02}:{second:02} UTC", at.date())
        }
        Err(_) => format!("{} ms after 1970", time.0),
    }
}

#[cfg(test)]
mod tests;
