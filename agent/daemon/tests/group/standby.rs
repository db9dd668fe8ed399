//! Standby as the way out of traffic: nobody is left in it, whatever dies.

use pitcrew_rehearsal::death::{Cause, Death, Generation};
use pitcrew_rehearsal::interruption::Kill;
use pitcrew_rehearsal::lifecycle::LifecycleEvent as E;
use pitcrew_rehearsal::rehearsal::{Group, Options, Owner};

use crate::support::passes;
use crate::{asked, held, options};

const SCRIPTED: [E; 5] =
    [E::ApplicationStop, E::BeforeInstall, E::AfterInstall, E::ApplicationStart, E::ValidateService];

fn by_standby(seed: u64) -> Options {
    Options { owner: Owner::Elastigroup, ..options(seed, 2, Group::default()) }
}

#[test]
fn standby_takes_an_instance_out_and_back_around_its_deployment() {
    let report = passes(&by_standby(1));
    held(&report, "protections are released");
    assert_eq!((asked(&report, "standby/enter"), asked(&report, "standby/exit")), (2, 2));
    let moved = |action: &str| report.calls.iter().filter(|call| call.action.ends_with(action)).count();
    assert_eq!((moved("RegisterTargets"), moved("DeregisterTargets")), (0, 0), "nobody else moves traffic");
}

#[test]
fn nothing_is_left_in_standby_by_a_deployment_that_fails_or_an_agent_that_dies() {
    for event in SCRIPTED {
        let fails = Options { fail_at: Some(event), ..by_standby(1) };
        held(&passes(&fails), "protections are released");
        let dies = Options { kill_agent_at: Some(Kill::During(event)), ..by_standby(2) };
        held(&passes(&dies), "protections are released");
    }
    let both =
        Options { kill_agent_at: Some(Kill::During(E::Install)), fail_at: Some(E::ApplicationStart), ..by_standby(3) };
    held(&passes(&both), "protections are released");
}

#[test]
fn an_instance_that_boots_anew_in_the_middle_is_not_left_in_standby() {
    for at in E::order(false) {
        let boots = Options { death: Some(Death { at: *at, of: Cause::Reboot }), ..by_standby(4) };
        let report = passes(&boots);
        held(&report, "protections are released");
        held(&report, "keeps no healthy instance out");
        let (entered, left) = (asked(&report, "standby/enter"), asked(&report, "standby/exit"));
        assert!(entered >= 2 && left >= 2, "{at}: entered {entered}, left {left}");
    }
}

#[test]
fn a_deployment_that_dies_in_any_way_leaves_nobody_in_standby() {
    for of in [Cause::HostAgent, Cause::Stopped, Cause::Timeout] {
        let at = E::ApplicationStart;
        let dies = Options { death: Some(Death { at, of }), host_agent: Generation::Two, ..by_standby(5) };
        held(&passes(&dies), "protections are released");
    }
}
