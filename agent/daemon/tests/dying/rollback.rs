//! CodeDeploy rolls back with a new deployment, a second after the one that died: it takes over, and traffic returns once.

use pitcrew_rehearsal::death::{Cause, Generation};
use pitcrew_rehearsal::lifecycle::LifecycleEvent;
use pitcrew_rehearsal::rehearsal::{Options, Owner};
use pitcrew_rehearsal::timeline::Happening;

use crate::support::{events, is_played, options, rehearse};

fn rolled_back(owner: Owner, at: LifecycleEvent, of: Cause) {
    let (report, wrong) = rehearse(&Options { rollback: true, ..options((owner, 7), at, of, Generation::Two) });
    assert_eq!(wrong, None);
    let rollback = report.deployments.last().unwrap();
    assert_eq!((rollback.release.as_str(), rollback.succeeded_on.as_slice()), ("v1", [1].as_slice()));
}

#[test]
fn a_rollback_takes_over_cleanly_wherever_the_deployment_died() {
    for owner in [Owner::Pitcrew, Owner::CodeDeploy] {
        for at in events(owner) {
            for of in Cause::ALL.into_iter().filter(|of| is_played(*at, *of)) {
                rolled_back(owner, *at, of);
            }
        }
    }
}

#[test]
fn traffic_waits_for_the_rollback_and_returns_once() {
    let died = options((Owner::Pitcrew, 3), LifecycleEvent::ApplicationStart, Cause::Timeout, Generation::Two);
    let (report, wrong) = rehearse(&Options { rollback: true, ..died });
    assert_eq!(wrong, None);
    let moved = |which: fn(&Happening) -> bool| report.timeline.iter().filter(|entry| which(&entry.what)).count();
    let out = moved(|what| matches!(what, Happening::TargetDeregistered { .. }));
    let back = moved(|what| matches!(what, Happening::TargetRegistered { .. }));
    assert_eq!((out, back), (1, 1));
}
