//! How an instance is taken away in a rehearsal: by what, when, and with how much notice.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

use crate::lifecycle::LifecycleEvent;

/// One instance is taken away, or told that it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interruption {
    /// When.
    pub at: Moment,
    /// By what.
    pub action: Action,
    /// How much time is really given.
    pub notice: Duration,
    /// The notice is gone again after so long, and the instance stays.
    pub withdrawn_after: Option<Duration>,
}

/// When a notice is given: somewhere in the second that begins there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// With the beginning of this lifecycle event.
    During(LifecycleEvent),
    /// So long after the load has started. Nothing is deployed.
    Idle(Duration),
}

/// What takes the instance away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Spot terminates it when the notice's time has come.
    Terminate,
    /// Spot stops it when the notice's time has come.
    Stop,
    /// Spot hibernates it: it freezes at any moment after the first ten seconds.
    Hibernate,
    /// Advice: nothing happens.
    Rebalance,
    /// A scheduled event of EC2 stops it.
    Scheduled,
    /// Its Auto Scaling group terminates it, when its lifecycle hook says so or has waited for `notice`.
    #[serde(rename = "asg")]
    AutoScaling,
    /// Its operating system shuts down: the agent is told to stop, and has `notice` for it.
    Shutdown,
    /// Its Elastigroup detaches it, and holds it for `notice` or until it says that it may go.
    Elastigroup,
}

impl Action {
    const ALL: [Self; 7] = [
        Self::Terminate,
        Self::Stop,
        Self::Hibernate,
        Self::Rebalance,
        Self::Scheduled,
        Self::AutoScaling,
        Self::Shutdown,
    ];

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Terminate => "terminate",
            Self::Stop => "stop",
            Self::Hibernate => "hibernate",
            Self::Rebalance => "rebalance",
            Self::Scheduled => "scheduled",
            Self::AutoScaling => "asg",
            Self::Shutdown => "shutdown",
            Self::Elastigroup => "elastigroup",
        }
    }

    /// Whether the instance is gone in the end.
    pub(crate) fn takes_away(self) -> bool {
        match self {
            Self::Rebalance => false,
            Self::Terminate
            | Self::Stop
            | Self::Hibernate
            | Self::Scheduled
            | Self::AutoScaling
            | Self::Shutdown
            | Self::Elastigroup => true,
        }
    }

    /// The least notice that an agent can hear and act on: it asks for scheduled events every 30 seconds.
    pub(crate) fn shortest_notice(self) -> Duration {
        match self {
            Self::Scheduled | Self::Elastigroup => Duration::from_secs(60),
            Self::AutoScaling => Duration::from_secs(10),
            Self::Terminate | Self::Stop | Self::Hibernate | Self::Rebalance | Self::Shutdown => Duration::from_secs(5),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Action {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|action| action.name() == word).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|action| action.name()).collect();
            format!("`{word}` takes no instance away; what does is {}", names.join(", "))
        })
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word.parse::<f64>() {
            Ok(seconds) if (0.0..=3600.0).contains(&seconds) => Ok(Self::Idle(Duration::from_secs_f64(seconds))),
            Ok(_) => Err("give a number of seconds from 0 to 3600".to_owned()),
            Err(_) => word.parse().map(Self::During).map_err(|error| format!("{error}; or give a number of seconds")),
        }
    }
}

/// When an agent is killed (SIGKILL). It starts again a second later, as under systemd, unless it is for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kill {
    /// Once on each instance, somewhere in the first second of this event.
    During(LifecycleEvent),
    /// The same on the first instance alone, and nobody starts it again.
    ForGood(LifecycleEvent),
    /// So long after a notice was given.
    AfterNotice(Duration),
    /// When the interrupted instance makes this AWS call: it has taken effect, and the answer finds nobody.
    Calling(String),
}

impl FromStr for Kill {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        /// What an agent calls while it leaves.
        const CALLS: [&str; 4] = ["DescribeTargetHealth", "DeregisterTargets", "DeleteTags", "CompleteLifecycleAction"];
        if let Some(seconds) = word.strip_prefix('+') {
            return match seconds.parse::<f64>() {
                Ok(seconds) if (0.0..=3600.0).contains(&seconds) => {
                    Ok(Self::AfterNotice(Duration::from_secs_f64(seconds)))
                }
                Ok(_) | Err(_) => Err("give + and a number of seconds from 0 to 3600".to_owned()),
            };
        }
        if CALLS.contains(&word) {
            return Ok(Self::Calling(word.to_owned()));
        }
        let (event, kind): (_, fn(LifecycleEvent) -> Self) = match word.strip_suffix(":for-good") {
            Some(event) => (event, Self::ForGood),
            None => (word, Self::During),
        };
        event
            .parse()
            .map(kind)
            .map_err(|error| format!("{error}; or +SECONDS after the notice; or one of the calls {}", CALLS.join(", ")))
    }
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::During(event) => write!(f, "during {event}"),
            Self::ForGood(event) => write!(f, "for good during {event}"),
            Self::AfterNotice(after) => write!(f, "{:.1} s after the notice", after.as_secs_f64()),
            Self::Calling(action) => write!(f, "as it called {action}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_an_event_or_a_number_of_seconds() {
        assert_eq!("Install".parse(), Ok(Moment::During(LifecycleEvent::Install)));
        assert_eq!("2.5".parse(), Ok(Moment::Idle(Duration::from_millis(2500))));
        for word in ["Lunch", "-1", "NaN", "4000"] {
            let error = word.parse::<Moment>().unwrap_err();
            assert!(error.contains("number of seconds"), "{word}: {error}");
        }
    }

    #[test]
    fn a_kill_is_an_event_a_time_or_a_call() {
        assert_eq!("End".parse(), Ok(Kill::During(LifecycleEvent::End)));
        assert_eq!("Install:for-good".parse(), Ok(Kill::ForGood(LifecycleEvent::Install)));
        assert_eq!("+3".parse(), Ok(Kill::AfterNotice(Duration::from_secs(3))));
        assert_eq!("DeleteTags".parse(), Ok(Kill::Calling("DeleteTags".to_owned())));
        assert!("RunInstances".parse::<Kill>().unwrap_err().contains("CompleteLifecycleAction"));
    }

    #[test]
    fn every_action_is_read_by_its_name() {
        for action in Action::ALL {
            assert_eq!(action.name().parse(), Ok(action));
        }
        assert!("explode".parse::<Action>().unwrap_err().contains("terminate, stop, hibernate"));
    }
}
