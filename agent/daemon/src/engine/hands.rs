//! The engine's hands: one effect for each action, and the event that says how it went.

use std::sync::Arc;

use futures_util::future::FutureExt;
use futures_util::stream::{BoxStream, StreamExt, once};
use pitcrew_core::wire::{Action, Event, Failure, FailureKind};

use crate::doors::Connections;
use crate::effect::scripts::{DrainScripts, Order};
use crate::effect::{Announcer, Balancer, Deployments, Elastigroup, Release, Replace, Tags};
use crate::intake::imds::Identity;

/// Everything that the engine can do outside.
pub struct Hands {
    /// Load balancing.
    pub balancer: Balancer,
    /// CodeDeploy.
    pub deployments: Deployments,
    /// This host's connections.
    pub connections: Arc<dyn Connections>,
    /// The operator's `drain.d`.
    pub scripts: Arc<dyn DrainScripts>,
    /// This instance's tags.
    pub tags: Arc<Tags>,
    /// Elastigroup; `None`: there is no token.
    pub elastigroup: Option<Elastigroup>,
    /// Auto Scaling.
    pub release: Release,
    /// Who replaces this instance.
    pub replace: Replace,
    /// The operator's webhook and programs.
    pub announcer: Announcer,
    /// Who this instance is.
    pub identity: Identity,
    /// `[leave] remove_tags`: the keys of the tags by which CodeDeploy chooses this instance.
    pub remove_tags: Vec<String>,
    /// `[traffic] target_groups`: empty means every group that holds this instance.
    pub target_groups: Vec<String>,
}

impl Hands {
    /// Begins an action; the stream ends with the event that answers it. `None`: nothing answers it.
    pub fn carry_out(hands: Arc<Self>, action: Action) -> Option<BoxStream<'static, Event>> {
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
            Action::RunDrainScripts { why, until, ended } => {
                let Identity { instance, region, .. } = hands.identity.clone();
                return Some(hands.scripts.run(Order { why, until, ended, instance, region }));
            }
            Action::RemoveTags => {
                async move { Event::TagsRemoved { answer: hands.tags.delete(&hands.remove_tags).await } }.boxed()
            }
            Action::Release { why } => {
                async move { Event::Released { answer: hands.release.release(why).await } }.boxed()
            }
            Action::Elastigroup(order) => async move {
                let answer = match &hands.elastigroup {
                    Some(elastigroup) => elastigroup.carry_out(&order).await,
                    None => Err(Failure { kind: FailureKind::Denied, sentence: "there is no token".to_owned() }),
                };
                Event::ElastigroupReplied { order, answer }
            }
            .boxed(),
            Action::AskReplacement => async move {
                let answer = match &hands.elastigroup {
                    Some(elastigroup) => elastigroup.replace().await,
                    None => hands.replace.ask().await,
                };
                Event::ReplacementAsked { answer }
            }
            .boxed(),
            Action::Announce { .. }
            | Action::Reply { .. }
            | Action::Promise { .. }
            | Action::Retract { .. }
            | Action::Progress { .. } => return None,
        };
        Some(once(outcome).boxed())
    }
}
