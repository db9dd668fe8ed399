//! What makes two states the same: all that they show of themselves, with every moment told from the present.
//!
//! The text of `{:?}` is hashed as it is written, so that whatever state the core is given counts from the day it is
//! given. Moments between two ticks count as the tick that follows: nobody steps in between. How long ago a moment was
//! counts, too, except where it is only ever compared with the present ([`Piece::Awaited`]).

use std::fmt::{self, Debug, Write};

use crate::world::{EPOCH, TICK};

/// The fingerprint of `state` at `now`.
pub(crate) fn fingerprint(now: u64, state: &impl Debug) -> u64 {
    let mut sink =
        Sink { now, hash: 0xCBF2_9CE4_8422_2325, after: After::Anything, before: Piece::Other, awaited: false };
    // A sink takes everything.
    let _ = write!(sink, "{state:?}");
    sink.hash
}

struct Sink {
    now: u64,
    hash: u64,
    after: After,
    /// What was written before.
    before: Piece,
    /// The field that is being written matters only until it has passed.
    awaited: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// The name of a field that matters only until it has passed.
    Awaited,
    /// Such a field may have this one inside.
    At,
    Other,
}

#[derive(Clone, Copy)]
enum After {
    Anything,
    Name(Kind),
    Bracket(Kind),
}

#[derive(Clone, Copy)]
enum Kind {
    Instant,
    WallTime,
    /// Which of many random waits comes next: all are the next tick here.
    Jitter,
}

/// Fields that matter until they have passed, and never after: what is not due before, when a deployment was opened (that is
/// for people), when the agent began (no scene's probes have a grace), when the balancer finds a target healthy, and when
/// its last request ends.
fn kind_of(text: &str) -> Piece {
    match text {
        "not_before" | "opened" | "began" | "healthy_from" | "open_until" => Piece::Awaited,
        "at" => Piece::At,
        _ => Piece::Other,
    }
}

impl Sink {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.hash ^ 0x9E37_79B9_7F4A_7C15) * u128::from(word ^ 0xBF58_476D_1CE4_E5B9);
        self.hash = (product as u64) ^ ((product >> 64) as u64);
    }

    fn text(&mut self, piece: &[u8]) {
        let (words, rest) = piece.as_chunks::<8>();
        words.iter().for_each(|word| self.mix(u64::from_le_bytes(*word)));
        let rest = rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        self.mix(rest | (piece.len() as u64) << 56);
    }

    fn moment(&mut self, kind: Kind, at: u64) {
        let now = match kind {
            Kind::Instant => self.now,
            Kind::WallTime => self.now + EPOCH,
            Kind::Jitter => return,
        };
        match (kind, at >= now) {
            (_, true) => self.mix((at - now).div_ceil(TICK)),
            (Kind::Instant, false) if self.awaited => self.mix(u64::MAX),
            (Kind::Instant, false) => self.mix(u64::MAX - (now - at) / TICK),
            // Wall times are for people: one that has passed decides nothing.
            (Kind::WallTime | Kind::Jitter, false) => self.mix(u64::MAX),
        }
    }
}

impl Write for Sink {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let after = std::mem::replace(&mut self.after, After::Anything);
        let before = std::mem::replace(&mut self.before, kind_of(piece));
        if piece == ": " && before != Piece::At {
            self.awaited = before == Piece::Awaited;
        }
        match (after, piece) {
            (_, "Instant") => self.after = After::Name(Kind::Instant),
            (_, "WallTime") => self.after = After::Name(Kind::WallTime),
            (_, "Jitter") => self.after = After::Name(Kind::Jitter),
            (After::Name(kind), "(") => self.after = After::Bracket(kind),
            (After::Bracket(kind), number) if number.parse::<u64>().is_ok() => {
                self.moment(kind, number.parse().unwrap_or(u64::MAX));
                return Ok(());
            }
            (After::Anything | After::Name(_) | After::Bracket(_), _) => {}
        }
        self.text(piece.as_bytes());
        Ok(())
    }
}
