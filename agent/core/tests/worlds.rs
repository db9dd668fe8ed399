//! Seeded worlds: thousands of timelines of deployments, faults, crashes and notices, in which the design's
//! invariants are checked after every event.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a world that cannot go on is a failed test")]

#[path = "worlds/balancer.rs"]
mod balancer;
#[path = "worlds/codedeploy.rs"]
mod codedeploy;
#[path = "worlds/elastigroup.rs"]
mod elastigroup;
#[path = "shared/invariant.rs"]
mod invariant;
#[path = "worlds/invariants.rs"]
mod invariants;
#[path = "shared/laws.rs"]
mod laws;
#[path = "worlds/outside.rs"]
mod outside;
#[path = "shared/registration.rs"]
mod registration;
#[path = "shared/sabotage.rs"]
mod sabotage;
#[path = "worlds/scenario.rs"]
mod scenario;
#[path = "worlds/world.rs"]
mod world;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::sabotage::{PLANTED, Sabotage};
use crate::scenario::{Scenario, scenarios};
use crate::world::World;

/// The same worlds at every run; `PROPTEST_CASES` and `PROPTEST_RNG_SEED` play more or fewer, and others.
fn config() -> Config {
    let config = Config::default();
    let rng_seed = match config.rng_seed {
        RngSeed::Random => RngSeed::Fixed(1),
        RngSeed::Fixed(seed) => RngSeed::Fixed(seed),
    };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { 2_000 };
    Config { cases, rng_seed, failure_persistence: None, max_shrink_iters: 3_000, ..config }
}

/// Plays the scenario; a failure tells its whole timeline.
fn play(scenario: &Scenario) -> Result<(), TestCaseError> {
    let Err(broken) = World::new(scenario, None, false).play() else { return Ok(()) };
    let mut again = World::new(scenario, None, true);
    let _ = again.play();
    let timeline = again.trace.unwrap_or_default().join("\n");
    Err(TestCaseError::fail(format!("{broken}\n{timeline}")))
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_invariant_holds_in_every_world(scenario in scenarios()) {
        play(&scenario)?;
    }
}

#[test]
fn every_planted_fault_is_found() {
    // Few worlds have a block of CodeDeploy's while a call of ours is on its way: that one is the model's.
    for (sabotage, invariant) in
        PLANTED.into_iter().filter(|(sabotage, _)| *sabotage != Sabotage::BlocksWhileRegistering)
    {
        let mut runner = TestRunner::deterministic();
        let found = (0..3_000).find_map(|_| {
            let scenario = scenarios().new_tree(&mut runner).unwrap().current();
            World::new(&scenario, Some(sabotage), false).play().err()
        });
        let found = found.unwrap_or_else(|| panic!("{sabotage:?} was not found in 3,000 worlds"));
        assert_eq!(found.invariant, invariant, "{sabotage:?} was found as: {found}");
    }
}
