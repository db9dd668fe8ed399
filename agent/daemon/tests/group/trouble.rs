//! Trouble with the API stops neither deployments nor drains, and what is lost by it is said once.

use std::collections::BTreeMap;

use pitcrew::simulated::crew;
use pitcrew_rehearsal::cli::play;
use pitcrew_rehearsal::rehearsal::{Group, Options, Owner};
use pitcrew_rehearsal::timeline::Timeline;
use pitcrew_rehearsal::world::elastigroup::{GroupFault, GroupPlan, Wish};

use crate::logged::logged;
use crate::options;
use crate::support::{idle, passes};

/// Each trouble, and what an operator reads of it.
const TROUBLES: [(GroupFault, &str); 7] = [
    (GroupFault::Storm, "the organization asks too often (429)"),
    (GroupFault::ServerErrors, "HTTP 503"),
    (GroupFault::Hang, "did not answer within 5 s"),
    (GroupFault::WrongToken, "the token is refused (HTTP 401)"),
    (GroupFault::Rotation, "the Elastigroup token was replaced"),
    (GroupFault::Html, "something that is no JSON"),
    (GroupFault::MissingFields, "its answer cannot be read"),
];

fn in_trouble(fault: GroupFault) -> GroupPlan {
    GroupPlan { fault: Some(fault), ..GroupPlan::default() }
}

#[test]
fn deployments_and_drains_proceed() {
    assert!(GroupFault::ALL.iter().all(|fault| TROUBLES.iter().any(|(known, _)| known == fault)));
    for (fault, _) in TROUBLES {
        for owner in [Owner::Pitcrew, Owner::Elastigroup] {
            let deploys = Options { owner, ..options(1, 2, Group { plan: in_trouble(fault), wish: None }) };
            let report = passes(&deploys);
            assert!(report.deployments.iter().all(|ended| ended.failed_on.is_empty()), "{fault:?} {owner:?}");
        }
        passes(&options(1, 1, Group { plan: in_trouble(fault), wish: Some((Wish::ScaleIn, idle(5))) }));
    }
}

/// A deployment, and most of an hour in which the agent goes on to ask how Elastigroup sees it.
#[test]
fn what_is_lost_is_said_once_and_not_with_each_poll() {
    println!("{:<22}{:>8}  said", "trouble", "asked");
    for (fault, expected) in TROUBLES {
        let group = Group { plan: in_trouble(fault), wish: None };
        let long = Options { rate: 1, requests: 45 * 60, ..options(2, 1, group) };
        let (report, log) = logged(|| play(&long, Timeline::default(), &crew).unwrap());
        assert!(report.passed, "{fault:?}: {:#?}", report.reasons);
        let asked: usize = report.elastigroup_routes.iter().map(|route| route.requests).sum();
        assert!(asked >= 12, "{fault:?}: {asked} requests show nothing");
        let mut said = BTreeMap::new();
        for line in log.lines().filter(|line| line.contains("WARN") && line.contains("Elastigroup")) {
            let (_, sentence) = line.split_once("WARN ").unwrap();
            *said.entry(sentence).or_insert(0) += 1;
        }
        println!("{:<22}{asked:>8}  {said:#?}", fault.name());
        assert!(said.values().all(|times| *times == 1), "{fault:?}: {said:#?}");
        assert!(log.contains(expected), "{fault:?}: {said:#?}");
    }
}
