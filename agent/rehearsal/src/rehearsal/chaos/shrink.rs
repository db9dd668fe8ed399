//! Makes a plan that fails as short as it can be while it still fails.

use super::Plan;

/// Leaves out whatever is not needed for `fails`: first halves, then quarters, and so on down to single happenings,
/// until nothing more can be left out (delta debugging). Plays at most `plays` times.
pub fn shrink(plan: &Plan, plays: usize, mut fails: impl FnMut(&Plan) -> bool) -> Plan {
    let mut shortest = plan.clone();
    let mut left = plays;
    let mut pieces = 2;
    while !shortest.turns.is_empty() {
        let size = shortest.turns.len().div_ceil(pieces).max(1);
        let without = (0..shortest.turns.len()).step_by(size).find_map(|from| {
            left = left.checked_sub(1)?;
            let to = (from + size).min(shortest.turns.len());
            let mut turns = shortest.turns.clone();
            turns.drain(from..to);
            let shorter = Plan { turns };
            fails(&shorter).then_some(shorter)
        });
        match without {
            Some(shorter) => {
                shortest = shorter;
                pieces = pieces.saturating_sub(1).max(2);
            }
            None if size == 1 || left == 0 => break,
            None => pieces = (pieces * 2).min(shortest.turns.len()),
        }
    }
    shortest
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rehearsal::chaos::{Turn, What};

    fn plan(kills: std::ops::Range<u8>) -> Plan {
        let turn = |instance: u8| Turn { at: Duration::from_secs(instance.into()), what: What::Kill { instance } };
        Plan { turns: kills.map(turn).collect() }
    }

    fn kills(plan: &Plan, instance: u8) -> bool {
        plan.turns.iter().any(|turn| turn.what == What::Kill { instance })
    }

    #[test]
    fn only_what_is_needed_is_left() {
        let shortest = shrink(&plan(0..40), 10_000, |plan| kills(plan, 3) && kills(plan, 31));
        assert_eq!(shortest.turns.len(), 2);
        assert!(kills(&shortest, 3) && kills(&shortest, 31));
    }

    #[test]
    fn what_fails_by_itself_needs_nothing() {
        assert_eq!(shrink(&plan(0..40), 10_000, |_| true), plan(0..0));
    }

    #[test]
    fn it_ends_when_its_plays_are_used_up() {
        let mut played = 0;
        shrink(&plan(0..40), 5, |plan| {
            played += 1;
            kills(plan, 7)
        });
        assert_eq!(played, 5);
    }
}
