//! How the API misbehaves.

use std::str::FromStr;
use std::time::Duration;

use crate::world::faults::UnknownFault;

/// Trouble with Elastigroup's API, from the start to the end of a rehearsal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupFault {
    /// Four of five requests are answered 429.
    Storm,
    /// Half of the requests are answered 500 or 503.
    ServerErrors,
    /// Half of the requests are answered after half a minute.
    Hang,
    /// The token is refused.
    WrongToken,
    /// The token is replaced every twenty seconds, in the parameter, too.
    Rotation,
    /// Every answer is a page in HTML, with 200.
    Html,
    /// Answers lack `items`, `status` and headers.
    MissingFields,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Answered,
    TooMany,
    ServerError,
    Late(Duration),
    Refused,
    Html,
    Bare,
}

impl GroupFault {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Storm,
        Self::ServerErrors,
        Self::Hang,
        Self::WrongToken,
        Self::Rotation,
        Self::Html,
        Self::MissingFields,
    ];

    pub(super) fn fate(self, rng: &mut fastrand::Rng) -> Fate {
        match self {
            Self::Storm if rng.u8(..5) < 4 => Fate::TooMany,
            Self::ServerErrors if rng.bool() => Fate::ServerError,
            Self::Hang if rng.bool() => Fate::Late(Duration::from_secs(30)),
            Self::WrongToken => Fate::Refused,
            Self::Html => Fate::Html,
            Self::MissingFields => Fate::Bare,
            Self::Storm | Self::ServerErrors | Self::Hang | Self::Rotation => Fate::Answered,
        }
    }

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Storm => "elastigroup-429",
            Self::ServerErrors => "elastigroup-5xx",
            Self::Hang => "elastigroup-hang",
            Self::WrongToken => "elastigroup-401",
            Self::Rotation => "elastigroup-rotation",
            Self::Html => "elastigroup-html",
            Self::MissingFields => "elastigroup-fields",
        }
    }
}

impl FromStr for GroupFault {
    type Err = UnknownFault;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|fault| fault.name() == word).ok_or_else(|| UnknownFault::new(word))
    }
}
