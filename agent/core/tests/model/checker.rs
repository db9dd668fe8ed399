//! Visits every state that can be reached, each once, and keeps the way that led there.

use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, Instant};

use crate::choice::Choice;
use crate::fingerprint::fingerprint;
use crate::invariant::{Broken, Invariant};
use crate::laws::Judged;
use crate::sabotage::Sabotage;
use crate::scene::Scene;
use crate::world::World;

/// What an exploration came to.
pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) transitions: usize,
    /// Steps of the longest way.
    pub(crate) depth: usize,
    /// Ways that ended with everything where it belongs.
    pub(crate) rests: usize,
    troubles: u8,
    took: Duration,
    pub(crate) broken: Option<Counterexample>,
}

/// A way into a broken invariant.
pub(crate) struct Counterexample {
    pub(crate) law: Broken,
    way: Vec<String>,
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} troubles  {:>9} states  {:>9} transitions  depth {:>4}  {:>7} ends  {:>6.1} s",
            self.troubles,
            self.states,
            self.transitions,
            self.depth,
            self.rests,
            self.took.as_secs_f64()
        )
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.law, self.way.join("\n"))
    }
}

/// A state on the way, and the choices there that were not made yet.
struct Turn {
    world: World,
    fingerprint: u64,
    left: Vec<Choice>,
}

/// Explores all of `scene` with up to `troubles` troubles, or until an invariant is broken.
pub(crate) fn explore(scene: &Scene, troubles: u8, sabotage: Option<Sabotage>) -> Explored {
    #[expect(clippy::disallowed_methods, reason = "says how long it took; decides nothing")]
    let started = Instant::now();
    let first = World::new(scene, troubles, sabotage);
    let mut seen = HashSet::from([fingerprint(first.t, &first)]);
    let mut explored =
        Explored { states: 1, transitions: 0, depth: 0, rests: 0, troubles, took: Duration::ZERO, broken: None };
    // The states of the way itself: one that comes again by itself comes again for ever.
    let mut on_the_way = HashSet::from([fingerprint(first.t, &first)]);
    let mut made = Vec::new();
    let mut way = vec![Turn { left: first.choices(), fingerprint: fingerprint(first.t, &first), world: first }];
    while let Some(turn) = way.last_mut() {
        let Some(choice) = turn.left.pop() else {
            way.pop().iter().for_each(|turn| {
                on_the_way.remove(&turn.fingerprint);
            });
            made.pop();
            continue;
        };
        let mut world = turn.world.clone();
        explored.transitions += 1;
        let outcome = world.take(&choice);
        let mark = fingerprint(world.t, &world);
        let outcome = outcome.and_then(|()| {
            let returns = choice == Choice::GoOn && on_the_way.contains(&mark);
            world.hold(Invariant::NothingStranded, !returns, || format!("for ever: {:?}", world.check_end()))
        });
        made.push(choice);
        if let Err(law) = outcome {
            explored.broken = Some(Counterexample { law, way: retell(scene, troubles, sabotage, &made) });
            break;
        }
        if !seen.insert(mark) {
            made.pop();
            continue;
        }
        explored.states += 1;
        explored.depth = explored.depth.max(way.len());
        if explored.states.is_multiple_of(1_000_000) {
            eprintln!("{:<38} {} troubles: {} states so far", scene.name, troubles, explored.states);
        }
        let left = world.choices();
        explored.rests += usize::from(world.is_at_rest());
        on_the_way.insert(mark);
        way.push(Turn { world, fingerprint: mark, left });
    }
    explored.took = started.elapsed();
    explored
}

/// Walks the way again and tells it.
fn retell(scene: &Scene, troubles: u8, sabotage: Option<Sabotage>, made: &[Choice]) -> Vec<String> {
    let mut world = World::new(scene, troubles, sabotage);
    world.trace = Some(Vec::new());
    for choice in made {
        if *choice != Choice::GoOn {
            world.note(|| format!("CHOICE {choice:?}"));
        }
        if world.take(choice).is_err() {
            break;
        }
    }
    world.trace.unwrap_or_default()
}
