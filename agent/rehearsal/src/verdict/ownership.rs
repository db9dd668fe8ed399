//! Never two owners: where CodeDeploy moves traffic, what an agent may still do itself.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Evidence;
use super::invariants::{Judgement, Seen};
use crate::rehearsal::Owner;
use crate::timeline::{Entry, Happening};
use crate::world::calls::{Call, Caller};

/// An agent takes an instance out only when that leaves or shuts down, and gives back only what it took out itself, or
/// what a deployment had blocked that is over there.
pub(super) fn one_owner(evidence: &Evidence<'_>, timeline: &[Entry], calls: &[Call]) -> Seen {
    match evidence.options.owner {
        Owner::Pitcrew | Owner::Elastigroup => {
            return (Judgement::NotApplicable, "no deployment group controls traffic".to_owned());
        }
        Owner::CodeDeploy => {}
    }
    let mut given_back = 0;
    for (n, call) in calls.iter().enumerate() {
        let Caller::Instance(number) = call.caller else { continue };
        let breaks = match call.action.as_str() {
            "RegisterTargets" => {
                given_back += 1;
                is_deployed_to(timeline, number, call.at) && !took_out_itself(&calls[..n], call.caller)
            }
            "DeregisterTargets" => !is_leaving(evidence, number, call.at) && !shuts_down(timeline, number, call.at),
            _ => false,
        };
        if breaks {
            let at = call.at.as_secs_f64();
            return (Judgement::Broken, format!("instance {number} called {} at {at:.1} s", call.action));
        }
    }
    let sentence = match given_back {
        0 => "CodeDeploy alone moved traffic for its deployment",
        _ => "CodeDeploy alone moved traffic while its deployment lived",
    };
    (Judgement::Held, sentence.to_owned())
}

fn is_leaving(evidence: &Evidence<'_>, number: u8, at: Duration) -> bool {
    let notices = evidence.world.notices();
    notices
        .iter()
        .any(|notice| notice.instance == number && notice.ends_service() && notice.read.is_some_and(|read| at >= read))
}

fn shuts_down(timeline: &[Entry], number: u8, at: Duration) -> bool {
    let mut own = timeline.iter().filter(|entry| entry.instance == Some(number) && entry.at <= at);
    let latest = own.rfind(|entry| matches!(entry.what, Happening::Rebooting | Happening::Booted));
    latest.is_some_and(|entry| matches!(entry.what, Happening::Rebooting))
}

/// Whether the latest move of the caller's targets was that it took them out itself.
fn took_out_itself(calls: &[Call], caller: Caller) -> bool {
    let mut moves = calls.iter().filter(|call| !call.effects.is_empty());
    let latest = moves.rfind(|call| call.caller == caller || call.caller == Caller::CodeDeploy);
    latest.is_some_and(|call| call.caller == caller && call.action == "DeregisterTargets")
}

/// Whether a deployment still goes on at the instance at this moment.
fn is_deployed_to(timeline: &[Entry], number: u8, at: Duration) -> bool {
    let mut open = BTreeSet::new();
    for entry in timeline.iter().filter(|entry| entry.at <= at) {
        match &entry.what {
            // Until its first hook there is answered, a call may arrive that was sent before anybody there knew of it.
            Happening::ScriptEnded(end) if end.shim && entry.instance == Some(number) => {
                open.insert(&end.deployment);
            }
            Happening::EventFailed { deployment, .. } if entry.instance == Some(number) => {
                open.remove(deployment);
            }
            Happening::DeploymentSucceeded { deployment }
            | Happening::DeploymentFailed { deployment, .. }
            | Happening::DeploymentStopped { deployment } => {
                open.remove(deployment);
            }
            _ => {}
        }
    }
    !open.is_empty()
}
