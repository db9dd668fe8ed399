//! Decides where traffic belongs. What is known comes in; one `Traffic` comes out.

use serde::{Deserialize, Serialize};

use crate::ids::DeploymentId;
use crate::memory::Memory;
use crate::notice::NoticeKind;

/// Where traffic belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Traffic {
    /// In every place it was ever taken from.
    In,
    /// Nowhere here, and why.
    Out(Why),
}

/// What keeps traffic out; the strongest reason of those that hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The instance is being taken away.
    Leaving(NoticeKind),
    /// An operator said so.
    Held,
    /// These deployments are open.
    Deploying(Vec<DeploymentId>),
}

/// Where traffic belongs, by all that is remembered.
pub fn wanted(memory: &Memory) -> Traffic {
    if let Some(leaving) = &memory.leaving {
        return Traffic::Out(Why::Leaving(leaving.why()));
    }
    if memory.hold.is_some() {
        return Traffic::Out(Why::Held);
    }
    let holding: Vec<DeploymentId> =
        memory.leases.iter().filter(|(_, lease)| lease.holds_traffic).map(|(id, _)| id.clone()).collect();
    if holding.is_empty() { Traffic::In } else { Traffic::Out(Why::Deploying(holding)) }
}

impl Traffic {
    /// Whether traffic belongs here.
    pub fn is_in(&self) -> bool {
        match self {
            Traffic::In => true,
            Traffic::Out(_) => false,
        }
    }

    /// Whether only deployments keep it out, so that a group's last healthy target may be spared.
    pub(crate) fn is_out_for_deployments_only(&self) -> bool {
        match self {
            Traffic::Out(Why::Deploying(_)) => true,
            Traffic::Out(Why::Leaving(_) | Why::Held) | Traffic::In => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::DeploymentGroup;
    use std::collections::BTreeMap;

    use crate::leaving::{Leaving, Stage};
    use crate::lifecycle::LifecycleEvent;
    use crate::memory::{Hold, Lease};
    use crate::notice::Notice;
    use crate::revision::Revision;
    use crate::time::Now;
    use crate::wire::Owner;

    #[test]
    fn the_strongest_reason_wins() {
        let lease = |holds_traffic| Lease {
            group: DeploymentGroup { application: "web".into(), name: "prod".into() },
            owner: Owner::Pitcrew,
            holds_traffic,
            opened: Now::default(),
            heard: Now::default().at,
            last_event: LifecycleEvent::BeforeInstall,
            revision: Revision::default(),
            places: BTreeMap::new(),
        };
        let leaving = Leaving {
            notices: vec![Notice { kind: NoticeKind::SpotStop, time: None }],
            since: Now::default(),
            deadline: Now::default().at,
            stage: Stage::Draining,
            scripts: BTreeMap::new(),
            skipped: Vec::new(),
        };
        for (holding, returning, held, leaves) in (0..16).map(|n| (n & 1 != 0, n & 2 != 0, n & 4 != 0, n & 8 != 0)) {
            let mut memory = Memory::default();
            if holding {
                memory.leases.insert("d-1".into(), lease(true));
            }
            if returning {
                memory.leases.insert("d-2".into(), lease(false));
            }
            memory.hold = held.then_some(Hold { since: Now::default(), until: None });
            memory.leaving = leaves.then(|| leaving.clone());
            let expected = if leaves {
                Traffic::Out(Why::Leaving(NoticeKind::SpotStop))
            } else if held {
                Traffic::Out(Why::Held)
            } else if holding {
                Traffic::Out(Why::Deploying(vec!["d-1".into()]))
            } else {
                Traffic::In
            };
            assert_eq!(wanted(&memory), expected);
        }
    }
}
