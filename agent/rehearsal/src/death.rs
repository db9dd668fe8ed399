//! How a deployment dies in a rehearsal: of what, in which event, and under which generation of the host agent.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

use crate::lifecycle::LifecycleEvent;

/// One deployment dies on the first instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    /// In this event.
    pub at: LifecycleEvent,
    /// Of this.
    pub of: Cause,
}

/// What a deployment dies of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The host agent is killed while it carries out the event, and comes back five seconds later.
    HostAgent,
    /// An operator stops the deployment (StopDeployment).
    Stopped,
    /// A script of the event ignores SIGTERM and outlasts its timeout.
    Timeout,
    /// The instance reboots.
    Reboot,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::HostAgent, Self::Stopped, Self::Timeout, Self::Reboot];

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::HostAgent => "host-agent",
            Self::Stopped => "stopped",
            Self::Timeout => "timeout",
            Self::Reboot => "reboot",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Cause {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|cause| cause.name() == word).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("no deployment dies of `{word}` here; what it dies of is {names}")
        })
    }
}

/// CodeDeploy's host agent comes in two generations, which end a script that outlasts its timeout differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Generation {
    /// Version 1: SIGTERM to the script's process group, never SIGKILL; it then waits for as long as it takes.
    #[serde(rename = "1")]
    One,
    /// Version 2: SIGTERM, and SIGKILL five seconds later.
    #[serde(rename = "2")]
    Two,
}

impl Generation {
    /// Both.
    pub const ALL: [Self; 2] = [Self::One, Self::Two];

    /// How long after SIGTERM it sends SIGKILL; `None`: never.
    pub fn kills_after(self) -> Option<Duration> {
        match self {
            Self::One => None,
            Self::Two => Some(Duration::from_secs(5)),
        }
    }

    /// What `.version` in its directory says.
    pub fn version(self) -> &'static str {
        match self {
            Self::One => "1.8.1",
            Self::Two => "2.0.0",
        }
    }
}

impl FromStr for Generation {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "1" => Ok(Self::One),
            "2" => Ok(Self::Two),
            _ => Err("CodeDeploy's host agent is of generation 1 or 2".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_and_generations_are_read_by_their_words() {
        for cause in Cause::ALL {
            assert_eq!(cause.name().parse(), Ok(cause));
        }
        assert!("boredom".parse::<Cause>().unwrap_err().contains("host-agent, stopped, timeout, reboot"));
        assert_eq!("2".parse(), Ok(Generation::Two));
        assert!("3".parse::<Generation>().unwrap_err().contains("1 or 2"));
    }
}
