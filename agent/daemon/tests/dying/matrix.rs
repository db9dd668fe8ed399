//! Every event against every cause and both host agents: healthy means in traffic within a minute, unhealthy means out
//! and reported, and the next deployment works.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use pitcrew_rehearsal::death::{Cause, Generation};
use pitcrew_rehearsal::rehearsal::{Aftermath, Owner};

use crate::every_core::play_all;
use crate::support::{events, is_played, options, rehearse};

type Cell = (usize, Cause, Generation);
type Results = BTreeMap<Cell, Vec<(Option<Aftermath>, Option<String>)>>;

fn cells(owner: Owner) -> Vec<Cell> {
    let causes = || Cause::ALL.into_iter().flat_map(|cause| Generation::ALL.map(move |agent| (cause, agent)));
    let all = (0..events(owner).len()).flat_map(|row| causes().map(move |(cause, agent)| (row, cause, agent)));
    all.filter(|(row, cause, _)| is_played(events(owner)[*row], *cause)).collect()
}

/// Plays the whole matrix with these seeds, on every core, prints it, and fails with what went wrong first.
fn play_matrix(owner: Owner, seeds: std::ops::RangeInclusive<u64>) {
    let cells = cells(owner);
    let results: Results = play_all(&cells, seeds, |(row, cause, agent), seed| {
        let (report, wrong) = rehearse(&options((owner, seed), events(owner)[row], cause, agent));
        (report.aftermath, wrong)
    });
    println!("{}", table(owner, &results));
    assert_eq!(results.len(), cells.len());
    let wrong: Vec<_> = results.values().flatten().filter_map(|(_, wrong)| wrong.as_ref()).collect();
    for wrong in &wrong {
        println!("{}", wrong.lines().take(2).collect::<Vec<_>>().join(" "));
    }
    if let Some(first) = wrong.first() {
        panic!("{} runs failed; {first}", wrong.len());
    }
    let after = |aftermath: &Option<Aftermath>| aftermath.and_then(|aftermath| aftermath.back_after);
    let longest = results.values().flatten().filter_map(|(aftermath, _)| after(aftermath)).max().unwrap();
    println!("the longest way back: {:.1} s", longest.as_secs_f64());
    assert!(longest > Duration::from_secs(5), "nothing was ever out: this shows nothing");
    let broken = results.values().flatten().filter(|(aftermath, _)| aftermath.is_some_and(|seen| !seen.healthy));
    assert!(broken.count() > 0, "no application was ever broken: this shows nothing");
}

/// One line an event, one column a cause and a host agent: seconds until the instance was back, at the longest.
fn table(owner: Owner, results: &Results) -> String {
    let columns = || Cause::ALL.into_iter().flat_map(|cause| Generation::ALL.map(move |agent| (cause, agent)));
    let mut text = format!("{:<18}", "dies in");
    for (cause, agent) in columns() {
        let _ = write!(text, "{:>17}", format!("{cause}, agent {}", &agent.version()[..1]));
    }
    for (row, event) in events(owner).iter().enumerate() {
        let _ = write!(text, "\n{:<18}", event.name());
        for (cause, agent) in columns() {
            let runs = results.get(&(row, cause, agent)).map(Vec::as_slice).unwrap_or_default();
            let _ = write!(text, "{:>17}", outcome(runs));
        }
    }
    text
}

fn outcome(runs: &[(Option<Aftermath>, Option<String>)]) -> String {
    if runs.is_empty() {
        return "-".to_owned();
    }
    if runs.iter().any(|(_, wrong)| wrong.is_some()) {
        return "WRONG".to_owned();
    }
    let seen: Vec<_> = runs.iter().filter_map(|(aftermath, _)| *aftermath).collect();
    let out = seen.iter().filter(|aftermath| aftermath.out_and_reported).count();
    match (seen.iter().filter_map(|aftermath| aftermath.back_after).max(), out) {
        (Some(longest), 0) => format!("back in {:.1} s", longest.as_secs_f64()),
        (Some(longest), out) => format!("{:.1} s, {out} out", longest.as_secs_f64()),
        (None, _) => "out, reported".to_owned(),
    }
}

#[test]
fn wherever_a_deployment_dies_a_healthy_instance_is_back_within_a_minute() {
    play_matrix(Owner::Pitcrew, 1..=1);
}

#[test]
fn what_codedeploy_blocked_for_a_deployment_that_died_is_back_within_a_minute_too() {
    play_matrix(Owner::CodeDeploy, 1..=1);
}

#[test]
#[ignore = "takes minutes: many seeds of what the tests above play once"]
fn wherever_a_deployment_dies_many_times() {
    for owner in [Owner::Pitcrew, Owner::CodeDeploy] {
        play_matrix(owner, 100..=119);
    }
}
