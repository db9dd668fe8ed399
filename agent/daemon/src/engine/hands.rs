//! The engine's hands: one effect for each action, and the event that says how it went.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use pitcrew_core::wire::{Action, Event};

use crate::doors::Connections;
use crate::effect::balancer::Balancer;
use crate::effect::deployments::Deployments;

/// Everything that the engine can do outside.
pub struct Hands {
    /// Load balancing.
    pub balancer: Balancer,
    /// CodeDeploy.
    pub deployments: Deployments,
    /// This host's connections.
    pub connections: Arc<dyn Connections>,
    /// `[traffic] target_groups`: empty means every group that holds this instance.
    pub target_groups: Vec<String>,
}

impl Hands {
    /// Begins an action; the future ends with the one event that answers it. `None`: nothing answers it.
    pub fn carry_out(hands: Arc<Self>, action: Action) -> Option<BoxFuture<'static, Event>> {
        let outcome = match action {
            Action::DiscoverGroups => {
                async move { Event::GroupsDiscovered { answer: hands.balancer.discover(&hands.target_groups).await } }
                    .boxed()
            }
            Action::ObserveGroup { group } => async move {
                let answer = hands.balancer.observe(&group).await;
                Event::GroupObserved { group, answer }
            }
            .boxed(),
            Action::Deregister { group, targets } => async move {
                let answer = hands.balancer.deregister(&group, &targets).await;
                Event::Deregistered { group, answer }
            }
            .boxed(),
            Action::Register { group, targets } => async move {
                let answer = hands.balancer.register(&group, &targets).await;
                Event::Registered { group, answer }
            }
            .boxed(),
            Action::LearnOwner { group } => async move {
                let answer = hands.deployments.owner(&group).await;
                Event::OwnerLearned { group, answer }
            }
            .boxed(),
            Action::LearnDeployment { deployment } => async move {
                let answer = hands.deployments.state(&deployment).await;
                Event::DeploymentLearned { deployment, answer }
            }
            .boxed(),
            Action::CountConnections { ports } => async move {
                // What cannot be counted is not there: the core waits for the deregistration delay instead.
                Event::ConnectionsCounted { counts: hands.connections.established(&ports).unwrap_or_default() }
            }
            .boxed(),
            Action::RunDrainScripts { .. } => std::future::ready(Event::DrainScriptsEnded { answer: Ok(()) }).boxed(),
            Action::RemoveTags => std::future::ready(Event::TagsRemoved { answer: Ok(()) }).boxed(),
            Action::Release { .. } => std::future::ready(Event::Released { answer: Ok(()) }).boxed(),
            Action::Announce { .. } | Action::Reply { .. } | Action::Progress { .. } => return None,
        };
        Some(outcome)
    }
}
