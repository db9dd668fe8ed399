//! The CodeDeploy service: deployment groups, and running deployments.

mod api;

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use crate::crew::ScriptCode;
use crate::filled::filled;
use crate::lifecycle::LifecycleEvent;

/// What CodeDeploy holds.
#[derive(Debug, Default)]
pub struct CodeDeploy {
    groups: Vec<DeploymentGroup>,
    deployments: BTreeMap<String, Deployment>,
}

/// A deployment group of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentGroup {
    /// CodeDeploy's application.
    pub application: String,
    /// The group's name.
    pub name: String,
    /// The group's id, a UUID.
    pub id: String,
    /// Whether CodeDeploy itself blocks and allows traffic (the group names a target group).
    pub controls_traffic: Option<String>,
    /// Whether it deploys onto the instances that are there; else it is blue/green.
    pub in_place: bool,
}

/// One deployment, on one or several instances.
#[derive(Debug, Clone)]
pub struct Deployment {
    group: String,
    application: String,
    revision: String,
    creator: Creator,
    created: SystemTime,
    finished: Option<SystemTime>,
    status: DeploymentStatus,
    error: Option<(&'static str, String)>,
    stopped: Option<StoppedTarget>,
    targets: BTreeMap<String, Target>,
}

/// Who made a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Creator {
    /// A person.
    #[serde(rename = "user")]
    User,
    /// CodeDeploy itself, after a deployment that failed.
    #[serde(rename = "codeDeployRollback")]
    Rollback,
}

/// `Created`, `InProgress`, …: the status words of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names are CodeDeploy's own")]
pub enum DeploymentStatus {
    Created,
    InProgress,
    Succeeded,
    Failed,
    Stopped,
}

/// What is said of an instance whose deployment was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoppedTarget {
    SkippedAtOnce,
    FailedWithItsEvent,
    InProgressForEver,
}

/// The status words of an instance in a deployment and of a lifecycle event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names are CodeDeploy's own")]
pub enum EventStatus {
    Pending,
    InProgress,
    Succeeded,
    Failed,
    Skipped,
}

#[derive(Debug, Clone)]
struct Target {
    status: EventStatus,
    updated: SystemTime,
    events: Vec<EventRecord>,
}

#[derive(Debug, Clone)]
struct EventRecord {
    event: LifecycleEvent,
    status: EventStatus,
    started: Option<SystemTime>,
    ended: Option<SystemTime>,
    diagnostics: Option<Diagnostics>,
}

/// Why an event failed, as the host agent reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostics {
    /// CodeDeploy's error code.
    pub code: ScriptCode,
    /// The script, as the appspec names it.
    pub script: String,
    /// One sentence.
    pub message: String,
    /// The last 2048 characters of the script's output.
    pub log_tail: String,
}

impl Diagnostics {
    /// Of an event that failed without a script's doing.
    pub(crate) fn without_script(message: String) -> Self {
        Self { code: ScriptCode::UnknownError, script: String::new(), message, log_tail: String::new() }
    }
}

impl CodeDeploy {
    pub(super) fn add_group(&mut self, group: DeploymentGroup) {
        self.groups.push(group);
    }

    pub(super) fn put_group(&mut self, group: DeploymentGroup) {
        self.delete_group(&group.name);
        self.groups.push(group);
    }

    pub(super) fn delete_group(&mut self, name: &str) {
        self.groups.retain(|known| known.name != name);
    }

    /// Opens a deployment on these instances, every event pending.
    pub(super) fn create(
        &mut self,
        wall: SystemTime,
        id: String,
        group: &DeploymentGroup,
        (revision, creator): (String, Creator),
        instances: &[String],
    ) {
        let target = || Target {
            status: EventStatus::Pending,
            updated: wall,
            events: LifecycleEvent::order(group.controls_traffic.is_some())
                .iter()
                .map(|event| EventRecord {
                    event: *event,
                    status: EventStatus::Pending,
                    started: None,
                    ended: None,
                    diagnostics: None,
                })
                .collect(),
        };
        let deployment = Deployment {
            group: group.name.clone(),
            application: group.application.clone(),
            revision,
            creator,
            created: wall,
            finished: None,
            status: DeploymentStatus::Created,
            error: None,
            stopped: None,
            targets: filled(instances.iter().map(|id| (id.clone(), target()))),
        };
        self.deployments.insert(id, deployment);
    }

    /// An event began on an instance.
    pub(super) fn event_began(&mut self, wall: SystemTime, id: &str, instance: &str, event: LifecycleEvent) {
        if let Some(deployment) = self.deployments.get_mut(id).filter(|deployment| deployment.finished.is_none()) {
            deployment.status = DeploymentStatus::InProgress;
        }
        self.record(id, instance, event, |target, record| {
            record.status = EventStatus::InProgress;
            record.started = Some(wall);
            target.status = EventStatus::InProgress;
            target.updated = wall;
        });
    }

    /// An event ended on an instance; a failed one skips what is left there.
    pub(super) fn event_ended(
        &mut self,
        wall: SystemTime,
        id: &str,
        instance: &str,
        event: LifecycleEvent,
        failure: Option<Diagnostics>,
    ) {
        self.record(id, instance, event, |target, record| {
            record.ended = Some(wall);
            record.status = match failure {
                None => EventStatus::Succeeded,
                Some(_) => EventStatus::Failed,
            };
            record.diagnostics = failure;
            target.updated = wall;
        });
        let stopped = self.deployments.get(id).and_then(|deployment| deployment.stopped);
        let Some(target) = self.target_mut(id, instance) else {
            return;
        };
        match stopped {
            None => {}
            Some(StoppedTarget::FailedWithItsEvent) => {
                target.status = EventStatus::Failed;
                return;
            }
            Some(StoppedTarget::SkippedAtOnce | StoppedTarget::InProgressForEver) => return,
        }
        if target.events.iter().any(|record| record.status == EventStatus::Failed) {
            target.status = EventStatus::Failed;
            for record in &mut target.events {
                if record.status == EventStatus::Pending {
                    record.status = EventStatus::Skipped;
                }
            }
        } else if target.events.iter().all(|record| record.status == EventStatus::Succeeded) {
            target.status = EventStatus::Succeeded;
        }
    }

    /// The deployment is stopped: no further event begins.
    pub(super) fn stop(&mut self, wall: SystemTime, id: &str, said: StoppedTarget) {
        let Some(deployment) = self.deployments.get_mut(id).filter(|deployment| deployment.finished.is_none()) else {
            return;
        };
        deployment.finished = Some(wall);
        deployment.status = DeploymentStatus::Stopped;
        deployment.stopped = Some(said);
        deployment.error = Some(("MANUAL_STOP", "The deployment was stopped by its operator".to_owned()));
        for target in deployment.targets.values_mut() {
            for record in target.events.iter_mut().filter(|record| record.status == EventStatus::Pending) {
                record.status = EventStatus::Skipped;
            }
            let is_over = !matches!(target.status, EventStatus::Pending | EventStatus::InProgress);
            if !is_over && (target.status == EventStatus::Pending || said == StoppedTarget::SkippedAtOnce) {
                target.status = EventStatus::Skipped;
            }
        }
    }

    /// The deployment is over, unless it was stopped; instances that it never reached are skipped.
    pub(super) fn finish(&mut self, wall: SystemTime, id: &str, failed: Option<String>) {
        let Some(deployment) = self.deployments.get_mut(id).filter(|deployment| deployment.finished.is_none()) else {
            return;
        };
        deployment.finished = Some(wall);
        deployment.status = match failed {
            None => DeploymentStatus::Succeeded,
            Some(_) => DeploymentStatus::Failed,
        };
        deployment.error = failed.map(|message| ("HEALTH_CONSTRAINTS", message));
        for target in deployment.targets.values_mut() {
            if target.status == EventStatus::Pending {
                target.status = EventStatus::Skipped;
                for record in &mut target.events {
                    record.status = EventStatus::Skipped;
                }
            }
        }
    }

    /// The status of a deployment.
    pub fn status(&self, id: &str) -> Option<DeploymentStatus> {
        self.deployments.get(id).map(|deployment| deployment.status)
    }

    /// Application and deployment group of a deployment.
    pub(super) fn group_of(&self, id: &str) -> Option<(&str, &str)> {
        self.deployments.get(id).map(|deployment| (deployment.application.as_str(), deployment.group.as_str()))
    }

    fn target_mut(&mut self, id: &str, instance: &str) -> Option<&mut Target> {
        self.deployments.get_mut(id)?.targets.get_mut(instance)
    }

    fn record(
        &mut self,
        id: &str,
        instance: &str,
        event: LifecycleEvent,
        change: impl FnOnce(&mut Target, &mut EventRecord),
    ) {
        let Some(target) = self.target_mut(id, instance) else {
            return;
        };
        let Some(at) = target.events.iter().position(|record| record.event == event) else {
            return;
        };
        let mut record = target.events[at].clone();
        change(target, &mut record);
        target.events[at] = record;
    }
}
