//! Faults of the stand-in APIs: throttling, server errors, slowness, refusals.

use std::str::FromStr;
use std::time::Duration;

use fastrand::Rng;

/// A way in which AWS endpoints misbehave for the instances' calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Two of five calls are answered `Throttling`.
    Throttle,
    /// Two of five calls are answered 500 or 503.
    ServerErrors,
    /// Every call takes half a second to three seconds.
    Slow,
    /// RegisterTargets and DeregisterTargets are refused with `AccessDenied`.
    Denied,
}

/// What becomes of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Answered,
    AnsweredAfter(Duration),
    Throttled,
    InternalFailure,
    ServiceUnavailable,
    Refused,
}

impl Fault {
    pub(super) fn fate(self, action: &str, rng: &mut Rng) -> Fate {
        match self {
            Self::Throttle if rng.u8(..5) < 2 => Fate::Throttled,
            Self::ServerErrors if rng.u8(..5) < 2 => {
                if rng.bool() {
                    Fate::InternalFailure
                } else {
                    Fate::ServiceUnavailable
                }
            }
            Self::Throttle | Self::ServerErrors => Fate::Answered,
            Self::Slow => Fate::AnsweredAfter(Duration::from_millis(rng.u64(500..3000))),
            Self::Denied if matches!(action, "RegisterTargets" | "DeregisterTargets") => Fate::Refused,
            Self::Denied => Fate::Answered,
        }
    }

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Throttle => "throttle",
            Self::ServerErrors => "5xx",
            Self::Slow => "slow",
            Self::Denied => "denied",
        }
    }
}

/// A word that is no fault.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no fault; the faults are throttle, 5xx, slow, denied")]
pub struct UnknownFault(String);

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [Self::Throttle, Self::ServerErrors, Self::Slow, Self::Denied]
            .into_iter()
            .find(|fault| fault.name() == word)
            .ok_or_else(|| UnknownFault(word.to_owned()))
    }
}
