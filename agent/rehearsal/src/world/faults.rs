//! Faults of the stand-in APIs and of the metadata service: throttling, errors, slowness, refusals, silence.

use std::str::FromStr;
use std::time::Duration;

use fastrand::Rng;
use serde::Serialize;

/// A way in which AWS endpoints misbehave for the instances' calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
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
#[error(
    "`{0}` is no fault; the faults are throttle, 5xx, slow, denied, imds-hang, imds-503, imds-401, imds-empty, imds-flap, \
     elastigroup-429, elastigroup-5xx, elastigroup-hang, elastigroup-401, elastigroup-rotation, elastigroup-html, \
     elastigroup-fields"
)]
pub struct UnknownFault(String);

impl UnknownFault {
    pub(super) fn new(word: &str) -> Self {
        Self(word.to_owned())
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [Self::Throttle, Self::ServerErrors, Self::Slow, Self::Denied]
            .into_iter()
            .find(|fault| fault.name() == word)
            .ok_or_else(|| UnknownFault(word.to_owned()))
    }
}

/// A way in which the metadata service of an instance misbehaves for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MetadataFault {
    /// No answer comes until it is over.
    Hang,
    /// Every request is answered 503.
    Unavailable,
    /// Tokens are given, and refused with 401.
    Unauthorized,
    /// Every request is answered 200 with nothing in it.
    Empty,
    /// It answers for a second and a half, and then does not, in one of the other ways.
    Flap,
}

/// What becomes of one request to the metadata service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetadataFate {
    Answered,
    Hangs,
    Unavailable,
    Unauthorized,
    Empty,
}

/// How long a flapping service answers, and then does not.
const FLAP: Duration = Duration::from_millis(1500);

impl MetadataFault {
    const ALL: [Self; 5] = [Self::Hang, Self::Unavailable, Self::Unauthorized, Self::Empty, Self::Flap];

    /// What happens to a request that comes so long after the trouble began.
    pub(super) fn fate(self, since: Duration) -> MetadataFate {
        match self {
            Self::Hang => MetadataFate::Hangs,
            Self::Unavailable => MetadataFate::Unavailable,
            Self::Unauthorized => MetadataFate::Unauthorized,
            Self::Empty => MetadataFate::Empty,
            Self::Flap => match since.as_millis() / FLAP.as_millis() % 8 {
                0 => MetadataFate::Hangs,
                2 => MetadataFate::Unavailable,
                4 => MetadataFate::Unauthorized,
                6 => MetadataFate::Empty,
                _ => MetadataFate::Answered,
            },
        }
    }

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hang => "imds-hang",
            Self::Unavailable => "imds-503",
            Self::Unauthorized => "imds-401",
            Self::Empty => "imds-empty",
            Self::Flap => "imds-flap",
        }
    }
}

impl FromStr for MetadataFault {
    type Err = UnknownFault;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|fault| fault.name() == word).ok_or_else(|| UnknownFault(word.to_owned()))
    }
}
