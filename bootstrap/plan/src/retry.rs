//! When to try again, and when to stop: full jitter under one deadline.

use crate::{
    journal::Failure,
    text::{after, any_word},
};

/// Tries of a thing that can fail for good, such as a download: about two minutes in all at the
/// usual pace.
pub const TRIES: u32 = 10;

/// The longest pause, in units of the pace.
const LONGEST: u64 = 30;

/// Pauses that double, each drawn evenly from nothing up to its bound, so that a fleet that boots
/// together does not call together.
#[derive(Debug, Clone)]
pub struct Backoff {
    seed: u64,
    bound: u64,
    pace: u64,
}

impl Backoff {
    /// Pauses in units of `pace_ms` milliseconds, drawn from `seed`.
    pub fn new(pace_ms: u32, seed: u64) -> Self {
        Self { seed: seed | 1, bound: pace_ms.into(), pace: pace_ms.into() }
    }

    /// The next pause in milliseconds.
    pub fn pause(&mut self) -> u64 {
        // xorshift64: it never reaches zero from an odd seed.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        let pause = self.seed % (self.bound + 1);
        self.bound = (self.bound * 2).min(self.pace * LONGEST);
        pause
    }
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial<T> {
    /// It succeeded.
    Ended(T),
    /// It failed, and another try may succeed.
    Again(Failure),
    /// It failed, and would fail again.
    Never(Failure),
}

/// What the status of a download means.
pub fn download(status: u32) -> Trial<()> {
    match status {
        200..=299 => Trial::Ended(()),
        403 => Trial::Never(Failure::Refused),
        404 => Trial::Never(Failure::Missing),
        _ => Trial::Again(Failure::Download),
    }
}

/// What is found in the codes of refusals that may pass: EC2 is busy, does not know the instance yet,
/// or finds the time or the credentials too old, or the credentials too new. Time and credentials are
/// others at the next try.
const PASSING: &[u8] = b"Thrott RequestLimit Expire AuthFailure NotFound";

/// What the answer of `CreateTags` means: by its status, and by the error's code where it names one.
/// Trouble of the server or of a proxy may pass; what else EC2 refuses by name it would refuse again.
pub fn create_tags(status: u32, code: &[u8]) -> Trial<()> {
    let says = |part: &[u8]| after(code, part).is_some();
    match status {
        200..=299 => Trial::Ended(()),
        _ if status >= 500 || code.is_empty() || any_word(PASSING, b' ', &mut |part| says(part)) => {
            Trial::Again(Failure::Tags)
        }
        _ if says(b"Unauthorized") => Trial::Never(Failure::Denied),
        _ => Trial::Never(Failure::Tags),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn pauses_double_their_bound_and_stop_at_thirty_paces() {
        for seed in 0..200 {
            let mut backoff = Backoff::new(1000, seed);
            let pauses: Vec<_> = (0..12).map(|_| backoff.pause()).collect();
            for (pause, bound) in pauses.iter().zip([1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30, 30]) {
                assert!(*pause <= bound * 1000, "{pause} > {bound} s with seed {seed}");
            }
        }
    }

    #[test]
    fn pauses_are_spread_over_the_whole_range() {
        let mut quarters = [0; 4];
        for seed in 0..4000 {
            let mut backoff = Backoff::new(1000, seed * 7919);
            let pause = (0..6).map(|_| backoff.pause()).last().unwrap();
            quarters[(pause * 4 / 30_001) as usize] += 1;
        }
        assert!(quarters.iter().all(|count| (850..1150).contains(count)), "{quarters:?}");
    }

    #[test]
    fn ten_tries_last_about_two_minutes_at_most_four() {
        let longest: u64 = [1, 2, 4, 8, 16, 30, 30, 30, 30].iter().sum();
        assert!((100..240).contains(&longest));
        let mean = (0..500)
            .map(|seed| {
                let mut backoff = Backoff::new(1000, seed * 104_729);
                (1..TRIES).map(|_| backoff.pause()).sum::<u64>()
            })
            .sum::<u64>()
            / 500;
        assert!((60_000..95_000).contains(&mean), "{mean}");
    }

    #[test]
    fn downloads_are_tried_again_only_where_that_can_help() {
        assert_eq!(download(200), Trial::Ended(()));
        assert_eq!(download(403), Trial::Never(Failure::Refused));
        assert_eq!(download(404), Trial::Never(Failure::Missing));
        assert_eq!(download(429), Trial::Again(Failure::Download));
        assert_eq!(download(503), Trial::Again(Failure::Download));
        assert_eq!(download(400), Trial::Again(Failure::Download));
    }

    #[test]
    fn tags_are_tried_again_by_kind_of_error() {
        for (status, code, expected) in [
            (200, "", Trial::Ended(())),
            // EC2 is busy.
            (503, "RequestLimitExceeded", Trial::Again(Failure::Tags)),
            (400, "Throttling", Trial::Again(Failure::Tags)),
            (400, "ThrottlingException", Trial::Again(Failure::Tags)),
            (429, "", Trial::Again(Failure::Tags)),
            // It has trouble of its own.
            (500, "InternalError", Trial::Again(Failure::Tags)),
            (503, "Unavailable", Trial::Again(Failure::Tags)),
            (502, "", Trial::Again(Failure::Tags)),
            // The next try has another time and other credentials.
            (400, "RequestExpired", Trial::Again(Failure::Tags)),
            (400, "ExpiredToken", Trial::Again(Failure::Tags)),
            (401, "AuthFailure", Trial::Again(Failure::Tags)),
            // The instance is new.
            (400, "InvalidInstanceID.NotFound", Trial::Again(Failure::Tags)),
            // Somebody in between who knows no codes.
            (403, "", Trial::Again(Failure::Tags)),
            // All else that is named.
            (403, "UnauthorizedOperation", Trial::Never(Failure::Denied)),
            (400, "TagLimitExceeded", Trial::Never(Failure::Tags)),
            (400, "InvalidParameterValue", Trial::Never(Failure::Tags)),
            (400, "InvalidInstanceID.Malformed", Trial::Never(Failure::Tags)),
            (403, "AccessDenied", Trial::Never(Failure::Tags)),
            (401, "OptInRequired", Trial::Never(Failure::Tags)),
        ] {
            assert_eq!(create_tags(status, code.as_bytes()), expected, "{status} {code}");
        }
    }
}
