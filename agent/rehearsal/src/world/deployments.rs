//! What CodeDeploy's service and host agent tell the world.

use crate::lifecycle::LifecycleEvent;
use crate::lock::lock;
use crate::seat::Seat;

use super::World;
use super::codedeploy::{Creator, DeploymentGroup, DeploymentStatus, Diagnostics, StoppedTarget};

impl World {
    /// Makes a deployment group known.
    pub fn add_deployment_group(&self, group: DeploymentGroup) {
        lock(&self.state).codedeploy.add_group(group);
    }

    /// Opens a deployment of `revision` on these instances and returns its id.
    pub fn create_deployment(
        &self,
        group: &DeploymentGroup,
        revision: &str,
        creator: Creator,
        instances: &[String],
    ) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        let mut state = lock(&self.state);
        let tail: String = (0..9).map(|_| char::from(LETTERS[state.rng.usize(..LETTERS.len())])).collect();
        let id = format!("d-{tail}");
        let wall = self.clock.wall();
        state.codedeploy.create(wall, id.clone(), group, (revision.to_owned(), creator), instances);
        id
    }

    /// An event began on an instance.
    pub fn event_began(&self, seat: &Seat, deployment: &str, event: LifecycleEvent) {
        let wall = self.clock.wall();
        lock(&self.state).codedeploy.event_began(wall, deployment, &seat.instance_id, event);
    }

    /// An event ended on an instance.
    pub fn event_ended(&self, seat: &Seat, deployment: &str, event: LifecycleEvent, failure: Option<Diagnostics>) {
        let wall = self.clock.wall();
        lock(&self.state).codedeploy.event_ended(wall, deployment, &seat.instance_id, event, failure);
    }

    /// An operator stops a deployment: the event under way ends, and no other begins. What CodeDeploy says of its
    /// instances until then is not documented; the seed chooses.
    pub(crate) fn stop_deployment(&self, deployment: &str) {
        let wall = self.clock.wall();
        let mut state = lock(&self.state);
        let said = match state.rng.u8(..3) {
            0 => StoppedTarget::SkippedAtOnce,
            1 => StoppedTarget::FailedWithItsEvent,
            _ => StoppedTarget::InProgressForEver,
        };
        state.codedeploy.stop(wall, deployment, said);
    }

    /// A deployment is over; `failed` says why it is not a success.
    pub fn finish_deployment(&self, deployment: &str, failed: Option<String>) {
        let wall = self.clock.wall();
        lock(&self.state).codedeploy.finish(wall, deployment, failed);
    }

    /// The status of a deployment.
    pub fn deployment_status(&self, deployment: &str) -> Option<DeploymentStatus> {
        lock(&self.state).codedeploy.status(deployment)
    }
}
