//! What makes two states the same: all that they show of themselves, with every moment told from the present.
//!
//! The text of `{:?}` is hashed as it is written, so that whatever state the core is given counts from the day it is
//! given. Moments between two ticks count as the tick that follows: nobody steps in between.

use std::fmt::{self, Debug, Write};

use crate::world::{EPOCH, TICK};

/// The fingerprint of `state` at `now`.
pub(crate) fn fingerprint(now: u64, state: &impl Debug) -> u64 {
    let mut sink = Sink { now, hash: 0xCBF2_9CE4_8422_2325, after: After::Anything };
    // A sink takes everything.
    let _ = write!(sink, "{state:?}");
    sink.hash
}

struct Sink {
    now: u64,
    hash: u64,
    after: After,
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

impl Sink {
    fn mix(&mut self, word: u64) {
        let mut z = (self.hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z ^= z >> 29;
        self.hash = z.wrapping_mul(0xBF58_476D_1CE4_E5B9).rotate_left(17);
    }

    fn moment(&mut self, kind: Kind, at: u64) {
        let now = match kind {
            Kind::Instant => self.now,
            Kind::WallTime => self.now + EPOCH,
            Kind::Jitter => return,
        };
        match (kind, at >= now) {
            (_, true) => self.mix((at - now).div_ceil(TICK)),
            (Kind::Instant, false) => self.mix(u64::MAX - (now - at) / TICK),
            // Wall times are for people: one that has passed decides nothing.
            (Kind::WallTime | Kind::Jitter, false) => self.mix(u64::MAX),
        }
    }
}

impl Write for Sink {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let after = std::mem::replace(&mut self.after, After::Anything);
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
        for word in piece.as_bytes().chunks(8) {
            let mut bytes = [0; 8];
            bytes[..word.len()].copy_from_slice(word);
            self.mix(u64::from_le_bytes(bytes));
        }
        self.mix(piece.len() as u64);
        Ok(())
    }
}
