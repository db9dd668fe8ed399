//! Deployments: how a lease is opened, kept, and closed, also when nobody says that the deployment is over.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::asks::Ask;
use crate::calls::Asked;
use crate::core::Core;
use crate::ids::{DeploymentGroup, DeploymentId};
use crate::memory::{Ending, Lease};
use crate::stranded::Places;
use crate::time::{Instant, Now};
use crate::wire::{Action, DeploymentState, Failure, HookCall, Owner};

impl Core {
    /// Opens the deployment's lease or renews it. `None`: who moves its traffic is not known yet.
    pub(crate) fn open_or_renew(&mut self, now: Now, hook: &HookCall) -> Option<Owner> {
        if let Some(lease) = self.memory.leases.get_mut(&hook.deployment) {
            lease.heard = now.at;
            lease.last_event = hook.event;
            lease.holds_traffic |= lease.owner.is_here() && leaves_traffic(hook);
            return Some(lease.owner);
        }
        let certain = hook.event.needs_traffic_control().then_some(Owner::CodeDeploy);
        let owner = certain.or(self.settings.owner)?;
        self.open(now, hook, owner);
        Some(owner)
    }

    fn open(&mut self, now: Now, hook: &HookCall, owner: Owner) {
        let (held, inherited) = self.supersede(now, hook);
        let mut places = inherited;
        if owner == Owner::CodeDeploy {
            for (group, targets) in self.places_before_block(now.at) {
                places.entry(group).or_default().extend(targets);
            }
        }
        let lease = Lease {
            group: hook.group.clone(),
            owner,
            holds_traffic: owner.is_here() && (held || leaves_traffic(hook)),
            opened: now,
            heard: now.at,
            last_event: hook.event,
            revision: hook.revision.clone(),
            places,
        };
        self.memory.leases.insert(hook.deployment.clone(), lease);
    }

    /// Closes what is open of the same group: CodeDeploy runs one deployment of a group at a time, so a newer one (a
    /// rollback, say) proves it over. Says whether it kept traffic out and what CodeDeploy had blocked for it, which is
    /// the newer one's business from now on.
    fn supersede(&mut self, now: Now, hook: &HookCall) -> (bool, Places) {
        let earlier = self.memory.leases.iter().filter(|(_, lease)| lease.group == hook.group);
        let earlier: Vec<_> =
            earlier.map(|(id, lease)| (id.clone(), lease.holds_traffic, lease.places.clone())).collect();
        let (mut held, mut blocked) = (false, Places::new());
        for (id, held_traffic, places) in earlier {
            self.close(now, &id, Ending::Superseded);
            held |= held_traffic;
            blocked.extend(places);
        }
        (held, blocked)
    }

    /// The host agent's own directory shows which deployments are alive.
    pub(crate) fn commands_seen(&mut self, now: Now, executing: Option<BTreeMap<DeploymentId, Duration>>) {
        for deployment in self.commands.seen(executing, now.at) {
            if let Some(lease) = self.memory.leases.get_mut(&deployment) {
                lease.heard = now.at;
            }
        }
    }

    pub(crate) fn owner_learned(&mut self, now: Now, group: &DeploymentGroup, owner: Owner) {
        let waiting: Vec<HookCall> = self
            .calls
            .values()
            .filter_map(|call| match &call.asked {
                Asked::Hook(hook) if &hook.group == group => Some(hook.clone()),
                Asked::Hook(_) | Asked::Operator(_) => None,
            })
            .collect();
        for hook in waiting {
            if !self.memory.leases.contains_key(&hook.deployment) {
                self.open(now, &hook, owner);
            }
        }
    }

    /// Asks after deployments that have been silent for long: CodeDeploy runs nothing after a failed hook, so
    /// nobody else will say that they are over.
    pub(crate) fn watch_leases(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let silent: Vec<(DeploymentId, Instant)> =
            self.memory.leases.iter().map(|(id, lease)| (id.clone(), lease.heard)).collect();
        for (deployment, heard) in silent {
            if self.is_calling(&deployment) {
                continue;
            }
            let ask_at = heard.after(self.settings.ask_after);
            if let Some(until) = self.commands.executes_until(&deployment, now) {
                self.asks.wake_no_later_than(until);
            } else if now < ask_at {
                self.asks.wake_no_later_than(ask_at);
            } else if self.asks.due(&Ask::Deployment(deployment.clone()), now, self.settings.ask_after) {
                actions.push(Action::LearnDeployment { deployment });
            }
        }
    }

    pub(crate) fn deployment_learned(
        &mut self,
        now: Now,
        deployment: &DeploymentId,
        answer: Result<DeploymentState, Failure>,
    ) {
        let Some(lease) = self.memory.leases.get(deployment) else {
            self.asks.forget(&Ask::Deployment(deployment.clone()));
            return;
        };
        // A hook that called meanwhile, or a command that executes, knows better than an answer that was on its way.
        let silent = now.at.since(lease.heard);
        let executes = self.commands.executes_until(deployment, now.at).is_some();
        if silent < self.settings.ask_after || self.is_calling(deployment) || executes {
            return;
        }
        let overdue = match lease.owner {
            Owner::Pitcrew | Owner::Elastigroup => {
                self.commands.silent_for(lease.heard, now.at) >= Some(self.settings.command_within)
            }
            // Between its hooks CodeDeploy may wait for the balancer, for an hour.
            Owner::CodeDeploy => false,
        };
        let ending = match answer {
            Ok(DeploymentState::Running) => None,
            Ok(DeploymentState::Succeeded) => Some(Ending::SucceededUnheard),
            Ok(DeploymentState::Failed) => Some(Ending::Dead),
            Err(_) => (overdue || silent >= self.settings.assume_dead_after).then_some(Ending::AssumedDead),
        };
        if let Some(ending) = ending {
            self.close(now, deployment, ending);
        }
    }

    /// Whether a hook of this deployment waits for an answer.
    pub(crate) fn is_calling(&self, deployment: &DeploymentId) -> bool {
        self.calls.values().any(|call| match &call.asked {
            Asked::Hook(hook) => &hook.deployment == deployment,
            Asked::Operator(_) => false,
        })
    }

    /// A deployment for which CodeDeploy itself keeps traffic out just now. What was taken here for another reason is
    /// not given back meanwhile: its application is being replaced.
    pub(crate) fn blocked_by_codedeploy(&self) -> Option<&DeploymentId> {
        use crate::lifecycle::LifecycleEvent as E;
        let blocks = |lease: &Lease| match (lease.owner, lease.last_event) {
            (Owner::Pitcrew | Owner::Elastigroup, _) | (Owner::CodeDeploy, E::AfterAllowTraffic) => false,
            (
                Owner::CodeDeploy,
                E::BeforeBlockTraffic
                | E::AfterBlockTraffic
                | E::ApplicationStop
                | E::BeforeInstall
                | E::AfterInstall
                | E::ApplicationStart
                | E::ValidateService
                | E::BeforeAllowTraffic,
            ) => true,
        };
        self.memory.leases.iter().find(|(_, lease)| blocks(lease)).map(|(id, _)| id)
    }

    pub(crate) fn close(&mut self, now: Now, deployment: &DeploymentId, ending: Ending) {
        if let Some(lease) = self.memory.close(deployment, ending, now) {
            self.suspect_after(now, deployment, ending);
            self.take_over_blocked(now, &lease, ending);
            self.keep_places_in_view(&lease.places);
        }
        self.asks.forget(&Ask::Deployment(deployment.clone()));
    }
}

/// The events in which a deployment leaves traffic, where this agent moves it.
fn leaves_traffic(hook: &HookCall) -> bool {
    use crate::lifecycle::LifecycleEvent as E;
    match hook.event {
        E::ApplicationStop | E::BeforeInstall => true,
        E::BeforeBlockTraffic
        | E::AfterBlockTraffic
        | E::AfterInstall
        | E::ApplicationStart
        | E::ValidateService
        | E::BeforeAllowTraffic
        | E::AfterAllowTraffic => false,
    }
}
