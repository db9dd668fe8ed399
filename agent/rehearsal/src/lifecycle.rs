//! The lifecycle events of a CodeDeploy in-place deployment and their order.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One step of a deployment on one instance, in CodeDeploy's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are CodeDeploy's own")]
pub enum LifecycleEvent {
    Start,
    BeforeBlockTraffic,
    BlockTraffic,
    AfterBlockTraffic,
    ApplicationStop,
    DownloadBundle,
    BeforeInstall,
    Install,
    AfterInstall,
    ApplicationStart,
    ValidateService,
    BeforeAllowTraffic,
    AllowTraffic,
    AfterAllowTraffic,
    End,
}

use LifecycleEvent::{
    AfterAllowTraffic, AfterBlockTraffic, AfterInstall, AllowTraffic, ApplicationStart, ApplicationStop,
    BeforeAllowTraffic, BeforeBlockTraffic, BeforeInstall, BlockTraffic, DownloadBundle, End, Install, Start,
    ValidateService,
};

/// What a deployment group without a load balancer plays: five scriptable events.
const WITHOUT_LOAD_BALANCER: &[LifecycleEvent] = &[
    Start,
    ApplicationStop,
    DownloadBundle,
    BeforeInstall,
    Install,
    AfterInstall,
    ApplicationStart,
    ValidateService,
    End,
];

/// What a deployment group that controls traffic plays: nine scriptable events.
const WITH_LOAD_BALANCER: &[LifecycleEvent] = &[
    Start,
    BeforeBlockTraffic,
    BlockTraffic,
    AfterBlockTraffic,
    ApplicationStop,
    DownloadBundle,
    BeforeInstall,
    Install,
    AfterInstall,
    ApplicationStart,
    ValidateService,
    BeforeAllowTraffic,
    AllowTraffic,
    AfterAllowTraffic,
    End,
];

impl LifecycleEvent {
    /// The events of one deployment in order; `controls_traffic` when the deployment group names a load balancer.
    pub fn order(controls_traffic: bool) -> &'static [LifecycleEvent] {
        if controls_traffic { WITH_LOAD_BALANCER } else { WITHOUT_LOAD_BALANCER }
    }

    /// Whether an appspec may name scripts for this event.
    pub fn is_scriptable(self) -> bool {
        match self {
            BeforeBlockTraffic | AfterBlockTraffic | ApplicationStop | BeforeInstall | AfterInstall
            | ApplicationStart | ValidateService | BeforeAllowTraffic | AfterAllowTraffic => true,
            Start | BlockTraffic | DownloadBundle | Install | AllowTraffic | End => false,
        }
    }

    /// Whether the scripts come from the revision that was installed before.
    pub(crate) fn runs_previous_revision(self) -> bool {
        match self {
            BeforeBlockTraffic | AfterBlockTraffic | ApplicationStop => true,
            Start | BlockTraffic | DownloadBundle | BeforeInstall | Install | AfterInstall | ApplicationStart
            | ValidateService | BeforeAllowTraffic | AllowTraffic | AfterAllowTraffic | End => false,
        }
    }

    /// CodeDeploy's name of the event.
    pub fn name(self) -> &'static str {
        match self {
            Start => "Start",
            BeforeBlockTraffic => "BeforeBlockTraffic",
            BlockTraffic => "BlockTraffic",
            AfterBlockTraffic => "AfterBlockTraffic",
            ApplicationStop => "ApplicationStop",
            DownloadBundle => "DownloadBundle",
            BeforeInstall => "BeforeInstall",
            Install => "Install",
            AfterInstall => "AfterInstall",
            ApplicationStart => "ApplicationStart",
            ValidateService => "ValidateService",
            BeforeAllowTraffic => "BeforeAllowTraffic",
            AllowTraffic => "AllowTraffic",
            AfterAllowTraffic => "AfterAllowTraffic",
            End => "End",
        }
    }
}

impl fmt::Display for LifecycleEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that is no lifecycle event.
#[derive(Debug, thiserror::Error)]
#[error("`{word}` is no lifecycle event; the events are {}", names())]
pub struct UnknownEvent {
    word: String,
}

fn names() -> String {
    let names: Vec<_> = WITH_LOAD_BALANCER.iter().map(|event| event.name()).collect();
    names.join(", ")
}

impl FromStr for LifecycleEvent {
    type Err = UnknownEvent;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        WITH_LOAD_BALANCER
            .iter()
            .copied()
            .find(|event| event.name().eq_ignore_ascii_case(word))
            .ok_or_else(|| UnknownEvent { word: word.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_without_load_balancer_has_five_scriptable_events_and_one_with_has_nine() {
        let scriptable = |traffic| LifecycleEvent::order(traffic).iter().filter(|event| event.is_scriptable()).count();
        assert_eq!((scriptable(false), scriptable(true)), (5, 9));
    }

    #[test]
    fn an_event_is_read_whatever_its_case_and_an_unknown_one_lists_the_known() {
        assert_eq!("applicationstop".parse::<LifecycleEvent>().unwrap(), ApplicationStop);
        let error = "AfterLunch".parse::<LifecycleEvent>().unwrap_err().to_string();
        assert!(error.contains("`AfterLunch`") && error.contains("ValidateService"), "{error}");
    }
}
