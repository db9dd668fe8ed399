//! What the world saw of instances that were given notice: how soon they left, and whether they ever came back.

use std::time::Duration;

use serde::Serialize;

use super::invariants::{Judgement, Seen};
use super::{Evidence, elastigroup};
use crate::balancer::IdleOnDrain;
use crate::interruption::Action;
use crate::lifecycle::LifecycleEvent;
use crate::rehearsal::Hooks;
use crate::timeline::{Entry, Happening, ScriptEnd};
use crate::world::calls::{Call, Caller, Effect};
use crate::world::{MetadataTrouble, Moved, NoticeRecord, World};

/// A notice, and how soon it had its effect.
#[derive(Debug, Clone, Serialize)]
pub struct NoticeReport {
    /// What the world knows of it.
    #[serde(flatten)]
    pub notice: NoticeRecord,
    /// Milliseconds until it was read.
    pub read_ms: Option<u64>,
    /// Milliseconds until DeregisterTargets was called and worked; absent where the instance was in no traffic, too.
    pub deregister_ms: Option<u64>,
}

/// An answer to a hook of a leaving instance takes no longer.
const AT_ONCE: Duration = Duration::from_secs(1);
/// The hook before the application's stop waits for the drain: for what may still come, for a quiet moment, and for the
/// looks at both. What is in flight comes on top.
const DRAIN: Duration = Duration::from_secs(10);
/// What was sent before the notice was read may come after it.
const ON_ITS_WAY: Duration = Duration::from_millis(100);
/// A leaving instance that others put back is taken out again within this time; later, nobody can undo it any more.
const OUT_AGAIN: Duration = Duration::from_secs(5);
/// So much longer it takes an agent that is killed meanwhile.
const RESTART: Duration = Duration::from_secs(3);

/// Every notice with its effect.
pub(super) fn notices(evidence: &Evidence<'_>, calls: &[Call]) -> Vec<NoticeReport> {
    let records = evidence.world.notices().into_iter();
    records
        .map(|notice| {
            let since = |at: Duration| u64::try_from(at.saturating_sub(notice.given).as_millis()).unwrap_or(u64::MAX);
            let left = calls.iter().find(|call| {
                is_of(call, &notice)
                    && call.action == "DeregisterTargets"
                    && call.status == 200
                    && call.at >= notice.given
            });
            let in_traffic = !notice.in_traffic.is_empty();
            NoticeReport {
                read_ms: notice.read.map(since),
                deregister_ms: left.filter(|_| in_traffic).map(|call| since(call.at)),
                notice,
            }
        })
        .collect()
}

/// How often each agent asks its metadata service, in requests a minute.
pub(super) fn metadata_rate(world: &World, timeline: &[Entry]) -> f64 {
    let end = timeline.last().map(|entry| entry.at).unwrap_or_default();
    let mut minutes = 0.0;
    let mut requests = 0_u32;
    for seat in &world.seats {
        let of_seat = || timeline.iter().filter(|entry| entry.instance == Some(seat.number));
        let began = of_seat().find(|entry| entry.what == Happening::AgentStarted).map(|entry| entry.at);
        let gone = of_seat().find(|entry| entry.what == Happening::TakenAway).map_or(end, |entry| entry.at);
        let Some(began) = began else { continue };
        minutes += gone.saturating_sub(began).as_secs_f64() / 60.0;
        let asked = world.metadata_asked(seat).into_iter().filter(|at| (began..gone).contains(at)).count();
        requests += u32::try_from(asked).unwrap_or(u32::MAX);
    }
    if minutes > 0.0 { f64::from(requests) / minutes } else { 0.0 }
}

/// Whether each notice is read soon after it can be.
pub(super) fn heard(evidence: &Evidence<'_>, timeline: &[Entry]) -> Seen {
    let troubles = evidence.world.metadata_troubles();
    let mut said = Vec::new();
    for notice in evidence.world.notices() {
        let NoticeRecord { instance, action, given, read, .. } = notice;
        let readable = readable_from(&notice, &troubles);
        let bound = patience(action) + if was_killed(timeline, &notice) { RESTART } else { Duration::ZERO };
        let gone = [notice.withdrawn, notice.taken_away].into_iter().flatten().min();
        match read {
            Some(read) if read <= readable + bound => {
                said.push(format!("{action} after {:.2} s", read.saturating_sub(given).as_secs_f64()));
            }
            Some(_) if elastigroup::fault(evidence).is_some() && action == Action::Elastigroup => {
                said.push(format!("{action} late, for the API is in trouble"));
            }
            Some(read) => {
                let late = read.saturating_sub(readable).as_secs_f64();
                return broken(format!("instance {instance} read of {action} {late:.2} s after it could"));
            }
            None if gone.is_some_and(|gone| gone <= readable + bound) => {
                said.push(format!("{action} was over before it could be read"));
            }
            None if elastigroup::fault(evidence).is_some() && action == Action::Elastigroup => {
                said.push(format!("{action} could not be read"));
            }
            None => return broken(format!("instance {instance} never read of {action}")),
        }
    }
    held(said.join("; "))
}

/// From when on a notice can be read: its metadata service may be in trouble.
fn readable_from(notice: &NoticeRecord, troubles: &[MetadataTrouble]) -> Duration {
    let meanwhile = troubles.iter().filter(|trouble| {
        trouble.instance == notice.instance && trouble.from <= notice.given && notice.given < trouble.until
    });
    meanwhile.map(|trouble| trouble.until).fold(notice.given, Duration::max)
}

/// How long after it can be read a notice may still be unread: some paths are asked less often.
fn patience(action: Action) -> Duration {
    match action {
        Action::Terminate | Action::Stop | Action::Hibernate => Duration::from_millis(1500),
        Action::AutoScaling => Duration::from_millis(6_200),
        Action::Rebalance => Duration::from_millis(11_700),
        Action::Scheduled => Duration::from_secs(34),
        Action::Shutdown => Duration::ZERO,
        // Asked every few minutes; soon after the drain was seen, which is looked for every minute.
        Action::Elastigroup => Duration::from_secs(80),
    }
}

/// Invariant 1.
pub(super) fn no_registration(evidence: &Evidence<'_>, calls: &[Call]) -> Seen {
    let notices = evidence.world.notices();
    let leaving: Vec<_> = notices.iter().filter(|notice| notice.ends_service()).collect();
    if leaving.is_empty() {
        return (Judgement::NotApplicable, "no instance was asked to leave".to_owned());
    }
    for notice in &leaving {
        let Some(read) = notice.read else { continue };
        let late = calls
            .iter()
            .find(|call| is_of(call, notice) && call.action == "RegisterTargets" && call.asked > read + ON_ITS_WAY);
        if let Some(call) = late {
            return broken(format!(
                "instance {} called RegisterTargets {:.2} s after it had read the notice",
                notice.instance,
                (call.asked - read).as_secs_f64()
            ));
        }
    }
    held(format!("none after {} notices were read", leaving.len()))
}

/// Whether nothing that was taken away stood in a target group when it went.
pub(super) fn out_in_time(evidence: &Evidence<'_>) -> Seen {
    let mut said = Vec::new();
    for notice in evidence.world.notices() {
        let Some(gone) = notice.taken_away else { continue };
        let put_back = evidence.world.seat(notice.instance).and_then(|seat| evidence.world.moved_last_by_service(seat));
        if let (Some(Moved::In { at }), Some(read)) = (put_back, notice.read)
            && at > read
            && gone.saturating_sub(at) < OUT_AGAIN
        {
            let before = gone.saturating_sub(at).as_secs_f64();
            said.push(format!("CodeDeploy put instance {} back {before:.1} s before it went", notice.instance));
            continue;
        }
        if let Some(group) = notice.left_behind.first() {
            return broken(format!("instance {} went while it was registered in {group}", notice.instance));
        }
        let given = (gone - notice.given).as_secs_f64();
        said.push(format!("instance {} was out when it went, {given:.1} s after the notice", notice.instance));
    }
    if said.is_empty() {
        return (Judgement::NotApplicable, "no instance was taken away".to_owned());
    }
    held(said.join("; "))
}

/// Whether the hooks of a leaving instance are told their answer at once, and end at once, but for the one that stands
/// before the application's stop: it ends with the drain.
pub(super) fn hooks(evidence: &Evidence<'_>, timeline: &[Entry], calls: &[Call]) -> Seen {
    if evidence.options.hooks == Hooks::None || !evidence.options.agents {
        return (Judgement::NotApplicable, "nobody calls or nobody answers hooks".to_owned());
    }
    let notices = evidence.world.notices();
    let mut longest = Duration::ZERO;
    let mut count = 0;
    for notice in notices.iter().filter(|notice| notice.ends_service()) {
        let Some(read) = notice.read else { continue };
        for entry in timeline.iter().filter(|entry| entry.instance == Some(notice.instance) && entry.at >= read) {
            let (end, cut) = match &entry.what {
                Happening::ScriptEnded(end) => (end, false),
                Happening::ScriptCut(end) => (end, true),
                _ => continue,
            };
            if !end.shim {
                continue;
            }
            let began = entry.at.saturating_sub(end.took);
            let asked = began.max(read);
            let answered = (began + end.settled.unwrap_or(end.took)).saturating_sub(asked);
            let ended = entry.at.saturating_sub(asked.max(drained(evidence, notice, end, timeline, calls)));
            let at_once = AT_ONCE + if was_killed(timeline, notice) { RESTART } else { Duration::ZERO };
            if answered > at_once {
                let how = if cut { "had no answer" } else { "was answered" };
                return broken(format!("{} {how} after {:.1} s of leaving", end.event, answered.as_secs_f64()));
            }
            if ended > at_once {
                return broken(format!("{} ended {:.1} s after the drain", end.event, ended.as_secs_f64()));
            }
            longest = longest.max(answered);
            count += 1;
        }
    }
    match count {
        0 => (Judgement::NotApplicable, "no hook was called after a notice".to_owned()),
        _ => held(format!("{count} hooks, answered within {:.2} s", longest.as_secs_f64())),
    }
}

/// Until when the hook before the application's stop may wait. An agent that started meanwhile has to see for itself
/// that nothing comes and nothing is in flight.
fn drained(
    evidence: &Evidence<'_>,
    notice: &NoticeRecord,
    end: &ScriptEnd,
    timeline: &[Entry],
    calls: &[Call],
) -> Duration {
    let stops_next = matches!(end.event, LifecycleEvent::ApplicationStop | LifecycleEvent::BeforeInstall);
    if !stops_next {
        return Duration::ZERO;
    }
    let options = evidence.options;
    let out = calls.iter().rfind(|call| {
        call.at <= notice.taken_away.unwrap_or(Duration::MAX)
            && call.effects.iter().any(|effect| match effect {
                Effect::Deregistered { target, changed, .. } => {
                    *changed && evidence.world.seat(notice.instance).is_some_and(|seat| seat.instance_id == target.id)
                }
                Effect::Registered { .. } => false,
            })
    });
    let Some(out) = out else { return Duration::MAX };
    let started =
        timeline.iter().rfind(|entry| entry.instance == Some(notice.instance) && entry.what == Happening::AgentStarted);
    let began = out.at.max(started.map(|entry| entry.at).unwrap_or_default());
    match options.idle_on_drain {
        IdleOnDrain::Closed => began + DRAIN + options.slow_requests.unwrap_or_default(),
        // Connections stay for the whole delay, and so does the wait for them.
        IdleOnDrain::KeptOpen => began + DRAIN + options.deregistration_delay,
    }
}

/// Invariant 7: what comes after the drain is done before the end.
pub(super) fn deadlines(evidence: &Evidence<'_>, timeline: &[Entry], calls: &[Call]) -> Seen {
    let mut said = Vec::new();
    for notice in evidence.world.notices() {
        let (Some(read), Some(gone), true) = (notice.read, notice.taken_away, evidence.options.agents) else {
            continue;
        };
        let instance = notice.instance;
        let done = |action: &str| {
            calls
                .iter()
                .find(|call| is_of(call, &notice) && call.action == action && call.status == 200 && call.at >= read)
        };
        let mut steps = vec!["DeleteTags"];
        if notice.action == Action::AutoScaling {
            steps.push("CompleteLifecycleAction");
        }
        let mut last = read;
        for step in steps {
            match done(step) {
                Some(call) => last = last.max(call.at),
                None => return broken(format!("instance {instance} went before {step}")),
            }
        }
        let of_instance = |what: fn(&Happening) -> bool| {
            timeline.iter().filter(move |entry| entry.instance == Some(instance) && what(&entry.what)).count()
        };
        let ran = of_instance(|what| matches!(what, Happening::DrainScriptRan { .. }));
        let kills = of_instance(|what| matches!(what, Happening::AgentKilled { .. }));
        if ran == 0 {
            return broken(format!("instance {instance} went before its drain.d ran"));
        }
        // Each instance has one script. One that was killed with its agent runs again.
        if ran > 1 + kills {
            return broken(format!("drain.d of instance {instance} ran {ran} times"));
        }
        if notice.action == Action::Shutdown && of_instance(|what| matches!(what, Happening::AgentStopped)) == 0 {
            return broken(format!("the agent of instance {instance} had not ended"));
        }
        let (took, had) = ((last - notice.given).as_secs_f64(), (gone - notice.given).as_secs_f64());
        said.push(format!("all steps done {took:.1} s after the notice, {had:.1} s were given"));
    }
    if said.is_empty() {
        return (Judgement::NotApplicable, "no agent had a deadline".to_owned());
    }
    held(said.join("; "))
}

fn is_of(call: &Call, notice: &NoticeRecord) -> bool {
    call.caller == Caller::Instance(notice.instance)
}

fn was_killed(timeline: &[Entry], notice: &NoticeRecord) -> bool {
    let of_instance = |entry: &&Entry| entry.instance == Some(notice.instance);
    timeline.iter().filter(of_instance).any(|entry| matches!(entry.what, Happening::AgentKilled { .. }))
}

fn held(why: String) -> Seen {
    (Judgement::Held, why)
}

fn broken(why: String) -> Seen {
    (Judgement::Broken, why)
}
