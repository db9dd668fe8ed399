//! What the group detaches drains, and says once that it may go.

use std::time::Duration;

use pitcrew_rehearsal::death::{Cause, Death};
use pitcrew_rehearsal::interruption::Moment;
use pitcrew_rehearsal::lifecycle::LifecycleEvent as E;
use pitcrew_rehearsal::rehearsal::{Group, Options};
use pitcrew_rehearsal::world::elastigroup::{GroupPlan, Wish};

use crate::support::{idle, passes, rehearse};
use crate::{asked, held, options, wants};

#[test]
fn what_is_detached_drains_and_says_once_that_it_may_go() {
    for (wish, instances) in [(Wish::ScaleIn, 1), (Wish::Replace, 1), (Wish::Roll, 3)] {
        let report = passes(&options(1, instances, wants(wish, idle(70))));
        held(&report, "said once");
        let gone = report.notices.iter().filter(|notice| notice.notice.taken_away.is_some()).count();
        assert_eq!(gone, if wish == Wish::Roll { 2 } else { 1 });
        assert_eq!(asked(&report, "signal"), gone, "one for each that went");
    }
}

#[test]
fn a_roll_that_meets_a_deployment_loses_nothing() {
    for event in [E::BeforeInstall, E::Install, E::ValidateService] {
        let report = passes(&options(3, 3, wants(Wish::Roll, Moment::During(event))));
        held(&report, "said once");
    }
}

/// What a dead deployment left broken, and nobody mends.
#[test]
fn what_asks_to_be_replaced_is_detached_and_leaves_like_any_other() {
    let dies = Options {
        death: Some(Death { at: E::ApplicationStart, of: Cause::Timeout }),
        settings: "deployment = { on_dead = \"replace\", replace_after = \"30s\" }".to_owned(),
        rate: 1,
        requests: 600,
        ..options(1, 1, Group::default())
    };
    let (report, timeline) = rehearse(&dies);
    assert_eq!((asked(&report, "detachInstances"), asked(&report, "signal")), (1, 1), "{timeline}");
    assert!(report.notices[0].notice.taken_away.is_some() && report.load.lost == 0, "{timeline}");
}

#[test]
fn a_group_that_declares_no_shutdown_signal_is_told_nothing() {
    let plan = GroupPlan { shutdown: None, draining_timeout: Duration::from_secs(120), ..GroupPlan::default() };
    let report = passes(&options(1, 1, Group { plan, wish: Some((Wish::ScaleIn, idle(70))) }));
    assert_eq!(asked(&report, "signal"), 0);
}
