//! What is deployed to is left alone; and nothing is locked or suspended afterwards, whoever dies.

use pitcrew_rehearsal::interruption::{Kill, Moment};
use pitcrew_rehearsal::lifecycle::LifecycleEvent as E;
use pitcrew_rehearsal::rehearsal::{Group, Options};
use pitcrew_rehearsal::timeline::Happening;
use pitcrew_rehearsal::world::elastigroup::Wish;

use crate::support::{passes, rehearse};
use crate::{held, options, wants};

#[test]
fn what_is_deployed_to_is_left_alone_and_nothing_is_locked_afterwards() {
    for (wish, at) in [
        (Wish::Replace, E::Install),
        (Wish::Unhealthy, E::ApplicationStart),
        (Wish::ScaleIn, E::BeforeInstall),
        (Wish::Replace, E::ValidateService),
    ] {
        let report = passes(&options(1, 3, wants(wish, Moment::During(at))));
        let why = held(&report, "leaves alone");
        assert_eq!(why, "the group could not have instance 1", "{wish:?}");
        assert_eq!(held(&report, "protections are released"), "3 instances were protected, and none is any more");
    }
}

#[test]
fn an_agent_that_is_killed_in_a_deployment_gives_back_what_it_took() {
    for event in [E::ApplicationStop, E::BeforeInstall, E::AfterInstall, E::ValidateService] {
        let killed = Options {
            kill_agent_at: Some(Kill::During(event)),
            ..options(2, 3, wants(Wish::Replace, Moment::During(E::Install)))
        };
        let report = passes(&killed);
        assert_eq!(held(&report, "protections are released"), "3 instances were protected, and none is any more");
    }
}

/// Nobody starts the agent again: the lock keeps the group away as long as it lasts, and then all is over.
#[test]
fn what_a_dead_agent_holds_ends_by_itself() {
    let dies = |minutes: u64| Options {
        kill_agent_at: Some(Kill::ForGood(E::AfterInstall)),
        settings: "deployment.assume_dead_after = \"10m\"".to_owned(),
        rate: 1,
        requests: 60 * minutes,
        ..options(3, 3, Group::default())
    };
    let (report, timeline) = rehearse(&dies(15));
    let why = held(&report, "protections are released");
    let held_still = "instance 1 is locked, AUTO_HEALING is suspended, OUT_OF_STRATEGY is suspended, \
                      PREVENTIVE_REPLACEMENT is suspended, REVERT_PREFERRED is suspended end by themselves";
    assert_eq!(why, held_still, "{timeline}");
    assert_eq!(report.load.lost, 0, "{timeline}");
    let (report, timeline) = rehearse(&dies(25));
    let why = held(&report, "protections are released");
    assert_eq!(why, "1 instance was protected, and nothing is any more", "{timeline}");
    assert_eq!(report.load.lost, 0, "{timeline}");
}

/// An agent that is dead cannot renew anything: it has long been dead when the group gets its way.
#[test]
fn a_group_has_its_way_with_an_instance_whose_agent_is_dead_once_its_lock_is_over() {
    let wish = wants(Wish::ScaleIn, Moment::During(E::AfterInstall));
    let dead = Options {
        kill_agent_at: Some(Kill::ForGood(E::AfterInstall)),
        settings: "deployment.assume_dead_after = \"10m\"".to_owned(),
        ..options(4, 1, wish)
    };
    let (report, timeline) = rehearse(&dead);
    let at = |which: fn(&Happening) -> bool| {
        report.timeline.iter().find(|entry| which(&entry.what)).unwrap_or_else(|| panic!("{timeline}")).at
    };
    let died = at(|what| matches!(what, Happening::AgentKilled { .. }));
    let detached = at(|what| matches!(what, Happening::NoticeGiven { .. }));
    let kept_away = detached - died;
    assert!((10..=25).contains(&(kept_away.as_secs() / 60)), "{kept_away:?}\n{timeline}");
    assert_eq!(report.load.lost, 0, "{timeline}");
}
