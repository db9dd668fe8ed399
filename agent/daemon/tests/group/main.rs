//! Instances of an Elastigroup: protected while they are deployed to, ready after it, drained before they go, never left
//! in standby; also while the API is in trouble, and whatever is unknown of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod detached;
mod fleet;
#[path = "../logged/mod.rs"]
mod logged;
mod protected;
mod ready;
mod real;
mod standby;
#[path = "../interrupted/support.rs"]
#[allow(dead_code, reason = "shared with the interruptions")]
mod support;
mod trouble;
mod unknown;

use std::time::Duration;

use pitcrew_rehearsal::bundle::Bundle;
use pitcrew_rehearsal::interruption::Moment;
use pitcrew_rehearsal::rehearsal::{Group, Options};
use pitcrew_rehearsal::verdict::{Judgement, Report};
use pitcrew_rehearsal::world::elastigroup::Wish;
use support::found;

/// Instances of a group that wants something, one more that only carries traffic, and a little load.
fn options(seed: u64, instances: u8, group: Group) -> Options {
    let mut options = Options::of(Bundle::sample().unwrap());
    (options.seed, options.instances, options.rate, options.requests) = (seed, instances, 10, 0);
    options.deregistration_delay = Duration::from_secs(20);
    options.elastigroup = Some(group);
    options
}

fn wants(wish: Wish, at: Moment) -> Group {
    Group { wish: Some((wish, at)), ..Group::default() }
}

#[track_caller]
fn held(report: &Report, expectation: &str) -> String {
    let (judgement, why) = found(report, expectation);
    assert_eq!(judgement, Judgement::Held, "seed {}: {expectation}: {why}", report.seed);
    why
}

/// How often Elastigroup was asked for what `route` ends with.
fn asked(report: &Report, route: &str) -> usize {
    let of_route = report.elastigroup_routes.iter().filter(|asked| asked.route.ends_with(route));
    of_route.map(|asked| asked.requests).sum()
}
