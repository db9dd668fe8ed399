//! What must be right before a deployment, and can be broken and mended: tags, roles, agents, deployment groups.

use std::time::Duration;

use super::World;
use super::codedeploy::DeploymentGroup;
use super::policy::Policy;
use super::targets::TargetId;
use crate::lock::lock;
use crate::seat::Seat;

impl World {
    /// Sets a tag of an instance, or removes it.
    pub fn set_tag(&self, seat: &Seat, key: &str, value: Option<&str>) {
        let mut state = lock(&self.state);
        if let Some(imds) = state.imds.get_mut(&seat.number) {
            match value {
                Some(value) => imds.tags.insert(key.to_owned(), value.to_owned()),
                None => imds.tags.remove(key),
            };
        }
    }

    /// A tag of an instance.
    pub fn tag(&self, seat: &Seat, key: &str) -> Option<String> {
        lock(&self.state).imds.get(&seat.number)?.tags.get(key).cloned()
    }

    /// Attaches the role to an instance, or detaches it.
    pub fn set_role(&self, seat: &Seat, attached: bool) {
        if let Some(imds) = lock(&self.state).imds.get_mut(&seat.number) {
            imds.has_role = attached;
        }
    }

    /// Whether Systems Manager sees the instance.
    pub fn set_online(&self, seat: &Seat, online: bool) {
        let mut state = lock(&self.state);
        if online {
            state.systems.online.insert(seat.instance_id.clone());
        } else {
            state.systems.online.remove(&seat.instance_id);
        }
    }

    /// Puts a deployment group in the place of the one with its name, or of none.
    pub fn put_deployment_group(&self, group: DeploymentGroup) {
        lock(&self.state).codedeploy.put_group(group);
    }

    /// Deletes a deployment group.
    pub fn delete_deployment_group(&self, name: &str) {
        lock(&self.state).codedeploy.delete_group(name);
    }

    /// Takes an action out of the instances' policy; `None`: it is as it is shipped.
    pub fn deny(&self, action: Option<&str>) {
        let policy = match action {
            Some(action) => Policy::agent().without(action),
            None => Policy::agent(),
        };
        lock(&self.state).policies.0 = policy;
    }

    /// Takes an action out of the operator's policy; `None`: it is as it is shipped.
    pub fn deny_operator(&self, action: Option<&str>) {
        let policy = match action {
            Some(action) => Policy::operator().without(action),
            None => Policy::operator(),
        };
        lock(&self.state).policies.1 = policy;
    }

    /// How often a target group's balancer checks its targets, and how many good answers make one healthy.
    pub fn set_health_check(&self, group: &str, interval: Duration, healthy_threshold: u8) {
        let mut state = lock(&self.state);
        if let Some(group) = state.balancing.groups.iter_mut().find(|known| known.settings.name == group) {
            group.settings.check.interval = interval;
            group.settings.healthy_threshold = healthy_threshold;
        }
    }

    /// `deregistration_delay.timeout_seconds` of a target group.
    pub fn set_deregistration_delay(&self, group: &str, delay: Duration) {
        let mut state = lock(&self.state);
        if let Some(group) = state.balancing.groups.iter_mut().find(|known| known.settings.name == group) {
            group.settings.deregistration_delay = delay;
        }
    }

    /// What commands of Systems Manager come to on this instance; `None`: they succeed.
    pub fn fail_commands(&self, seat: &Seat, output: Option<&str>) {
        let mut state = lock(&self.state);
        match output {
            Some(output) => state.systems.failing.insert(seat.instance_id.clone(), output.to_owned()),
            None => state.systems.failing.remove(&seat.instance_id),
        };
    }

    /// State Manager's associations, as they were asked for.
    pub fn associations(&self) -> Vec<serde_json::Value> {
        lock(&self.state).systems.associations.clone()
    }

    /// Registers an instance in a target group, healthy, or takes it out without a drain.
    pub fn set_registered(&self, seat: &Seat, group: &str, registered: bool) {
        let target = TargetId { id: seat.instance_id.clone(), port: seat.application.port() };
        let mut state = lock(&self.state);
        if let Some(group) = state.balancing.groups.iter_mut().find(|known| known.settings.name == group) {
            if registered {
                group.place_healthy(target, seat.address);
            } else {
                group.remove(&target);
            }
        }
    }

    /// What an instance has put into the inventory under this type name.
    pub fn inventory(&self, seat: &Seat, type_name: &str) -> Option<serde_json::Value> {
        lock(&self.state).systems.inventory.get(&(seat.instance_id.clone(), type_name.to_owned())).cloned()
    }
}
