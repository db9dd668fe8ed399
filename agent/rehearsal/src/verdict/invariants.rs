//! One line for each expectation and for each invariant of the design, checked against the world's own record.

use std::time::Duration;

use serde::Serialize;

use super::{Evidence, LastSight, elastigroup, leaving, ownership};
use crate::crew::ScriptCode;
use crate::interruption::Kill;
use crate::rehearsal::{Aftermath, Hooks};
use crate::timeline::{Entry, Happening, ScriptEnd};
use crate::world::Moved;
use crate::world::calls::{Call, Caller, Effect};
use crate::world::faults::Fault;

/// What was found about one expectation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The invariant's number in the design; expectations of the scenario have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invariant: Option<u8>,
    /// What is expected, in a few words.
    pub expectation: &'static str,
    /// Whether it held.
    pub judgement: Judgement,
    /// What was seen, or why it does not apply.
    pub why: String,
}

/// Whether an expectation held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// It held.
    Held,
    /// It did not.
    Broken,
    /// This rehearsal could not show it.
    NotApplicable,
}

/// The exit statuses that `pitcrew hook` documents.
const HOOK_EXITS: [i32; 7] = [0, 1, 64, 69, 75, 77, 78];

pub(super) type Seen = (Judgement, String);

pub(super) fn check(evidence: &Evidence<'_>, timeline: &[Entry], calls: &[Call]) -> Vec<Finding> {
    let expectation = |expectation, (judgement, why)| Finding { invariant: None, expectation, judgement, why };
    let invariant =
        |number, name, (judgement, why)| Finding { invariant: Some(number), expectation: name, judgement, why };
    let mut findings = vec![
        expectation("the deployment ends as it should", deployment(evidence)),
        expectation("the new revision answers where it was deployed", revision(evidence)),
        expectation("everything settles", settled(evidence)),
    ];
    if let Some(aftermath) = &evidence.aftermath {
        findings.push(expectation("a dead deployment keeps no healthy instance out", after_death(evidence, aftermath)));
    }
    if evidence.options.overlap {
        findings.push(expectation("traffic returns once, after the last deployment", once(evidence, timeline)));
    }
    if evidence.options.chaos.is_some() {
        findings.push(expectation("out of every balancer before the end", leaving::out_in_time(evidence)));
    }
    let wished = evidence.options.elastigroup.as_ref().is_some_and(|group| group.wish.is_some());
    if (evidence.options.interruption.is_some() || wished) && evidence.options.agents {
        findings.extend([
            expectation("a notice is read as soon as it can be", leaving::heard(evidence, timeline)),
            expectation("out of every balancer before the end", leaving::out_in_time(evidence)),
            expectation("hooks of a leaving instance do not wait", leaving::hooks(evidence, timeline, calls)),
        ]);
    }
    let of_group = [
        ("the group leaves alone what is deployed to", elastigroup::left_alone(evidence, timeline)),
        ("ready is said after the first deployment", elastigroup::ready(evidence, timeline)),
        ("that it may go is said once, after the drain", elastigroup::released(evidence, timeline)),
    ];
    findings.extend(of_group.into_iter().filter_map(|(name, seen)| Some(expectation(name, seen?))));
    findings.extend([
        invariant(1, "no registration once leaving", leaving::no_registration(evidence, calls)),
        invariant(2, "healthy means back in every place", back(evidence)),
        invariant(3, "nothing else is registered", own_places(evidence, calls)),
        invariant(4, "never two owners", ownership::one_owner(evidence, timeline, calls)),
        invariant(5, "each hook answered once, in time", hooks(evidence, timeline)),
        invariant(6, "protections are released", elastigroup::protections(evidence)),
        invariant(7, "deadlines are kept", leaving::deadlines(evidence, timeline, calls)),
        invariant(8, "the last healthy target stays", last_healthy(evidence, calls)),
    ]);
    findings
}

fn deployment(evidence: &Evidence<'_>) -> Seen {
    let options = evidence.options;
    let sentence: Vec<_> = evidence
        .deployments
        .iter()
        .map(|ended| match &ended.failed {
            None => format!("{} succeeded", ended.deployment),
            Some(why) => format!("{} failed: {why}", ended.deployment),
        })
        .collect();
    if sentence.is_empty() {
        return (Judgement::NotApplicable, "nothing was deployed".to_owned());
    }
    let sentence = sentence.join("; ");
    if options.chaos.is_some() {
        return (Judgement::NotApplicable, format!("whatever happens may fail it: {sentence}"));
    }
    if let (Some(_), Some(next)) = (options.death, evidence.deployments.last()) {
        // Whether it dies of what it was given is the host agent's business; the next one must work.
        let judgement = if next.failed_on.is_empty() { Judgement::Held } else { Judgement::Broken };
        return (judgement, sentence);
    }
    let gone = |number: &u8| taken_away(evidence, *number).is_some();
    let failed_on = || evidence.deployments.iter().flat_map(|ended| &ended.failed_on);
    if failed_on().any(gone) && failed_on().all(gone) {
        return (Judgement::Held, format!("{sentence}; no deployment survives its instance"));
    }
    if matches!(options.kill_agent_at, Some(Kill::ForGood(_))) {
        return (Judgement::NotApplicable, format!("hooks fail where no agent is: {sentence}"));
    }
    let failed_somewhere = failed_on().next().is_some();
    // Without an agent a shim must fail: an instance that cannot leave traffic must not be changed.
    let refused = options.fault == Some(Fault::Denied) || !options.agents;
    let must_fail = match options.fail_at {
        Some(event) => !(options.first && event.runs_previous_revision()),
        None => refused && options.hooks != Hooks::None,
    };
    if failed_somewhere == must_fail {
        (Judgement::Held, sentence)
    } else if must_fail {
        (Judgement::Broken, format!("a failure was asked for, but {sentence}"))
    } else {
        (Judgement::Broken, sentence)
    }
}

fn revision(evidence: &Evidence<'_>) -> Seen {
    let main = match evidence.options.death {
        Some(_) => evidence.deployments.last(),
        None => evidence.deployments.first(),
    };
    let Some(main) = main.filter(|_| evidence.options.chaos.is_none()) else {
        return (Judgement::NotApplicable, "nothing was deployed".to_owned());
    };
    if main.succeeded_on.is_empty() {
        return (Judgement::NotApplicable, "the deployment succeeded nowhere".to_owned());
    }
    let expected = main.release.as_str();
    let still_there: Vec<_> =
        main.succeeded_on.iter().copied().filter(|number| taken_away(evidence, *number).is_none()).collect();
    if still_there.is_empty() {
        return (Judgement::NotApplicable, "every instance that it reached was taken away".to_owned());
    }
    for number in &still_there {
        let answers = sight(evidence, *number).and_then(|sight| sight.healthy_release.as_deref());
        if answers != Some(expected) {
            let answers = answers.unwrap_or("nothing");
            return (Judgement::Broken, format!("instance {number} answers {answers}, not {expected}"));
        }
    }
    (Judgement::Held, format!("{expected} on {}", instances(&still_there)))
}

fn settled(evidence: &Evidence<'_>) -> Seen {
    match evidence.settled {
        Some(after) => (
            Judgement::Held,
            format!("every instance where it belongs {:.1} s after the last event", after.as_secs_f64()),
        ),
        None => (
            Judgement::Broken,
            "some instance was not where it belongs in the two minutes after the last event".to_owned(),
        ),
    }
}

/// So soon a healthy instance must be back, once it can be known that its deployment is over.
const BACK_WITHIN: Duration = Duration::from_secs(60);

fn after_death(evidence: &Evidence<'_>, aftermath: &Aftermath) -> Seen {
    if !evidence.options.agents {
        return (Judgement::NotApplicable, "no agent here gives traffic back".to_owned());
    }
    match aftermath {
        Aftermath { healthy: true, back_after: Some(after), .. } => {
            let judgement = if *after <= BACK_WITHIN { Judgement::Held } else { Judgement::Broken };
            (
                judgement,
                format!("in traffic {:.1} s after its end and a well application could be known", after.as_secs_f64()),
            )
        }
        Aftermath { healthy: true, back_after: None, .. } => {
            (Judgement::Broken, "the application is well, and the instance never came back".to_owned())
        }
        Aftermath { healthy: false, out_and_reported: true, .. } => {
            (Judgement::Held, "the application is broken; the instance is out, and reported".to_owned())
        }
        Aftermath { healthy: false, out_and_reported: false, .. } => {
            (Judgement::Broken, "the application is broken, and the instance is not out or not reported".to_owned())
        }
    }
}

fn once(evidence: &Evidence<'_>, timeline: &[Entry]) -> Seen {
    let returns: Vec<_> = timeline
        .iter()
        .filter(|entry| entry.instance == Some(1) && matches!(entry.what, Happening::TargetRegistered { .. }))
        .collect();
    let last_hook = evidence.deployments.iter().filter_map(|ended| {
        let of_this = |entry: &&Entry| match &entry.what {
            Happening::ScriptEnded(end) => end.deployment == ended.deployment && !end.shim,
            _ => false,
        };
        timeline.iter().rev().find(of_this).map(|entry| entry.at)
    });
    let work_done = last_hook.max().unwrap_or_default();
    match returns.as_slice() {
        [] if !evidence.world.notices().is_empty() => {
            (Judgement::NotApplicable, "the instance was told to leave".to_owned())
        }
        [only] if only.at >= work_done => {
            (Judgement::Held, format!("registered once, at {:.1} s", only.at.as_secs_f64()))
        }
        [only] => (
            Judgement::Broken,
            format!("registered at {:.1} s, while the other deployment still worked", only.at.as_secs_f64()),
        ),
        several => (Judgement::Broken, format!("registered {} times", several.len())),
    }
}

fn back(evidence: &Evidence<'_>) -> Seen {
    let mut seen = Vec::new();
    for LastSight { seat, healthy_release, is_back, in_traffic, status } in &evidence.last_sight {
        let number = seat.number;
        if taken_away(evidence, number).is_some() {
            seen.push(format!("instance {number} was taken away"));
            continue;
        }
        if evidence.world.notices().iter().any(|notice| notice.instance == number && notice.ends_service()) {
            if !in_traffic.is_empty() {
                return (Judgement::Broken, format!("instance {number} was told to leave and is in traffic"));
            }
            seen.push(format!("instance {number} stays out: it was told to leave"));
            continue;
        }
        if evidence.world.is_held_back(seat) {
            if !in_traffic.is_empty() {
                return (Judgement::Broken, format!("instance {number} was not ready and is in traffic"));
            }
            seen.push(format!("instance {number} is held back: it was never ready"));
            continue;
        }
        match (healthy_release, is_back) {
            (Some(_), true) => {}
            (Some(_), false) if evidence.world.moved_last_by_service(seat) == Some(Moved::Out) => {
                seen.push(format!("instance {number} stays out: CodeDeploy took it out, for a deployment that failed"));
            }
            (Some(_), false) => {
                return (Judgement::Broken, format!("instance {number} is healthy but not back everywhere"));
            }
            (None, _) if !in_traffic.is_empty() => {
                return (Judgement::Broken, format!("instance {number} does not answer but gets requests"));
            }
            (None, _) => match status {
                None => seen.push(format!("instance {number} is unhealthy and out")),
                Some(Ok(status)) if says_unhealthy(status) => {
                    seen.push(format!("instance {number} is unhealthy, out, and reported so"));
                }
                Some(Ok(_)) => {
                    let why = format!("instance {number} is unhealthy, but its agent does not report it");
                    return (Judgement::Broken, why);
                }
                Some(Err(_)) if matches!(evidence.options.kill_agent_at, Some(Kill::ForGood(_))) => {
                    seen.push(format!("instance {number} is unhealthy and out, and its agent is dead"));
                }
                Some(Err(error)) => {
                    return (Judgement::Broken, format!("the agent of instance {number} says nothing: {error}"));
                }
            },
        }
    }
    if seen.is_empty() {
        seen.push("every instance is healthy in every place that it had".to_owned());
    }
    (Judgement::Held, seen.join("; "))
}

/// `pitcrew status --json` has `healthy`, in its view or at the top.
fn says_unhealthy(status: &serde_json::Value) -> bool {
    [status.get("healthy"), status.pointer("/view/healthy")].into_iter().flatten().any(|healthy| healthy == false)
}

fn own_places(evidence: &Evidence<'_>, calls: &[Call]) -> Seen {
    let mut registered = 0;
    for call in calls {
        let Caller::Instance(number) = call.caller else {
            continue;
        };
        let own = sight(evidence, number).map(|sight| sight.seat.instance_id.as_str());
        for effect in &call.effects {
            let Effect::Registered { group, target, from_the_start, .. } = effect else {
                continue;
            };
            registered += 1;
            if !from_the_start || own != Some(target.id.as_str()) {
                return (
                    Judgement::Broken,
                    format!("instance {number} registered {target} in {group}, which it had not taken out"),
                );
            }
        }
    }
    if registered == 0 {
        (Judgement::NotApplicable, "nothing was registered".to_owned())
    } else {
        (Judgement::Held, format!("{registered} registrations, each of a place taken from before"))
    }
}

fn hooks(evidence: &Evidence<'_>, timeline: &[Entry]) -> Seen {
    let shims: Vec<&ScriptEnd> = timeline
        .iter()
        .filter_map(|entry| match &entry.what {
            Happening::ScriptEnded(end) if end.shim => Some(end),
            _ => None,
        })
        .collect();
    if shims.is_empty() {
        let why = if evidence.options.hooks == Hooks::None { "no revision calls a hook" } else { "no hook was called" };
        return (Judgement::NotApplicable, why.to_owned());
    }
    for end in &shims {
        let in_time = end.took < end.timeout;
        let ended = matches!(end.code, ScriptCode::Success | ScriptCode::ScriptFailed);
        let known = end.exit.is_some_and(|exit| HOOK_EXITS.contains(&exit));
        if !(in_time && ended && known) {
            let how = match end.exit {
                Some(exit) => format!("exit {exit}"),
                None => end.code.name().to_owned(),
            };
            return (
                Judgement::Broken,
                format!("the hook of {} ended with {how} after {:.1} s", end.event, end.took.as_secs_f64()),
            );
        }
    }
    let longest = shims.iter().map(|end| end.took).max().unwrap_or_default();
    (Judgement::Held, format!("{} hooks, the longest {:.1} s", shims.len(), longest.as_secs_f64()))
}

fn last_healthy(evidence: &Evidence<'_>, calls: &[Call]) -> Seen {
    let notices = evidence.world.notices();
    let is_leaving = |call: &Call| {
        notices.iter().any(|notice| {
            call.caller == Caller::Instance(notice.instance) && notice.read.is_some_and(|read| call.at >= read)
        })
    };
    let mut taken = 0;
    // One that leaves, leaves anyway.
    for call in calls.iter().filter(|call| !is_leaving(call)) {
        for effect in &call.effects {
            let Effect::Deregistered { group, target, changed: true, registered_beside, healthy_beside } = effect
            else {
                continue;
            };
            taken += 1;
            if *registered_beside > 0 && *healthy_beside == 0 {
                return (
                    Judgement::Broken,
                    format!("{target} was the last healthy of {group} at {:.1} s", call.at.as_secs_f64()),
                );
            }
        }
    }
    if taken == 0 {
        (Judgement::NotApplicable, "nothing was taken out".to_owned())
    } else {
        (Judgement::Held, format!("{taken} taken out, each beside a healthy one"))
    }
}

/// When the instance was taken away.
fn taken_away(evidence: &Evidence<'_>, number: u8) -> Option<Duration> {
    let notices = evidence.world.notices();
    notices.iter().filter(|notice| notice.instance == number).find_map(|notice| notice.taken_away)
}

fn sight<'a>(evidence: &'a Evidence<'_>, number: u8) -> Option<&'a LastSight> {
    evidence.last_sight.iter().find(|sight| sight.seat.number == number)
}

fn instances(numbers: &[u8]) -> String {
    let words: Vec<_> = numbers.iter().map(u8::to_string).collect();
    format!("instance {}", words.join(", "))
}
