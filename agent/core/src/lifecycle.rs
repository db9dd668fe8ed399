//! CodeDeploy's lifecycle events that can run a script.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of the nine scriptable lifecycle events, in CodeDeploy's order. Five of them come where CodeDeploy does not
/// own traffic; the four around `BlockTraffic` and `AllowTraffic` come only where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LifecycleEvent {
    /// Before CodeDeploy deregisters; runs from the previous revision.
    BeforeBlockTraffic,
    /// After CodeDeploy deregistered; runs from the previous revision.
    AfterBlockTraffic,
    /// Runs from the previous revision, and not at all on a first deployment.
    ApplicationStop,
    /// The first event of the new revision; always runs.
    BeforeInstall,
    /// The new revision's files are in place.
    AfterInstall,
    /// The new revision starts.
    ApplicationStart,
    /// The last event where CodeDeploy does not own traffic.
    ValidateService,
    /// Before CodeDeploy registers.
    BeforeAllowTraffic,
    /// After CodeDeploy registered and saw the target healthy.
    AfterAllowTraffic,
}

impl LifecycleEvent {
    /// All nine, in CodeDeploy's order.
    pub const ALL: [LifecycleEvent; 9] = [
        LifecycleEvent::BeforeBlockTraffic,
        LifecycleEvent::AfterBlockTraffic,
        LifecycleEvent::ApplicationStop,
        LifecycleEvent::BeforeInstall,
        LifecycleEvent::AfterInstall,
        LifecycleEvent::ApplicationStart,
        LifecycleEvent::ValidateService,
        LifecycleEvent::BeforeAllowTraffic,
        LifecycleEvent::AfterAllowTraffic,
    ];

    /// The name that CodeDeploy uses in `LIFECYCLE_EVENT` and in `appspec.yml`.
    pub fn name(self) -> &'static str {
        match self {
            LifecycleEvent::BeforeBlockTraffic => "BeforeBlockTraffic",
            LifecycleEvent::AfterBlockTraffic => "AfterBlockTraffic",
            LifecycleEvent::ApplicationStop => "ApplicationStop",
            LifecycleEvent::BeforeInstall => "BeforeInstall",
            LifecycleEvent::AfterInstall => "AfterInstall",
            LifecycleEvent::ApplicationStart => "ApplicationStart",
            LifecycleEvent::ValidateService => "ValidateService",
            LifecycleEvent::BeforeAllowTraffic => "BeforeAllowTraffic",
            LifecycleEvent::AfterAllowTraffic => "AfterAllowTraffic",
        }
    }

    /// Whether CodeDeploy sends this event only where its deployment group controls traffic.
    pub fn needs_traffic_control(self) -> bool {
        match self {
            LifecycleEvent::BeforeBlockTraffic
            | LifecycleEvent::AfterBlockTraffic
            | LifecycleEvent::BeforeAllowTraffic
            | LifecycleEvent::AfterAllowTraffic => true,
            LifecycleEvent::ApplicationStop
            | LifecycleEvent::BeforeInstall
            | LifecycleEvent::AfterInstall
            | LifecycleEvent::ApplicationStart
            | LifecycleEvent::ValidateService => false,
        }
    }
}

impl fmt::Display for LifecycleEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no scriptable lifecycle event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no scriptable lifecycle event; CodeDeploy's are {names}", names = names())]
pub struct UnknownLifecycleEvent(pub String);

fn names() -> String {
    LifecycleEvent::ALL.map(LifecycleEvent::name).join(", ")
}

impl FromStr for LifecycleEvent {
    type Err = UnknownLifecycleEvent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        LifecycleEvent::ALL
            .into_iter()
            .find(|event| event.name() == text)
            .ok_or_else(|| UnknownLifecycleEvent(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_read_back_from_its_name() {
        for event in LifecycleEvent::ALL {
            assert_eq!(event.name().parse(), Ok(event));
        }
    }

    #[test]
    fn an_unscriptable_event_is_refused_with_the_list() {
        let error = "BlockTraffic".parse::<LifecycleEvent>().unwrap_err();
        assert!(error.to_string().contains("`BlockTraffic`") && error.to_string().contains("ValidateService"));
    }
}
