//! Whole rehearsals in one process, under virtual time.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the stage of a test fails as its test does")]

mod deployments;
mod service;
mod told;

use pitcrew::simulated::crew;
use pitcrew_rehearsal::bundle::Bundle;
use pitcrew_rehearsal::cli::play;
use pitcrew_rehearsal::rehearsal::{Hooks, Options};
use pitcrew_rehearsal::timeline::Timeline;
use pitcrew_rehearsal::verdict::Report;

fn options(seed: u64) -> Options {
    let mut options = Options::of(Bundle::sample().unwrap());
    (options.seed, options.rate, options.requests) = (seed, 50, 0);
    options
}

/// Plays `options`; returns the report and the timeline in words.
fn rehearse(options: &Options) -> (Report, String) {
    let timeline = Timeline::default();
    let report = play(options, timeline.clone(), &crew).unwrap();
    let entries = timeline.entries();
    let lines = entries.iter().map(|e| format!("{:9.3} {:?} {}\n", e.at.as_secs_f64(), e.instance, e.what));
    (report, lines.collect())
}

#[test]
fn a_deployment_loses_nothing_whatever_the_seed() {
    for seed in 1..=50 {
        let (report, timeline) = rehearse(&options(seed));
        assert!(report.passed, "seed {seed}:\n{timeline}\n{:#?}", report.findings);
        assert!(report.load.sent > 500, "seed {seed}: {} requests", report.load.sent);
    }
}

#[test]
fn the_same_seed_plays_the_same_timeline() {
    let (first, second) = (rehearse(&options(7)).1, rehearse(&options(7)).1);
    assert_eq!(first, second);
    assert_ne!(first, rehearse(&options(8)).1, "another seed is another rehearsal");
}

#[test]
fn without_hooks_requests_are_lost() {
    let mut options = options(3);
    options.hooks = Hooks::None;
    let (report, timeline) = rehearse(&options);
    assert!(!report.passed && report.load.lost > 0, "{timeline}");
}
