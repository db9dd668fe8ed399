//! The CodeDeploy service: deployment groups, running deployments, and the API that tells of them (JSON 1.1).

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::{Value, json};

use super::identity::{ACCOUNT, REGION};
use super::wire::ApiError;
use crate::crew::{SELECTING_TAG, ScriptCode};
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
    pub fn without_script(message: String) -> Self {
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
            targets: instances.iter().map(|id| (id.clone(), target())).collect(),
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

    /// Answers one operation of the API.
    pub(super) fn call(&self, operation: &str, input: &Value) -> Result<Value, ApiError> {
        match operation {
            "GetDeployment" => {
                let (id, deployment) = self.deployment(input)?;
                Ok(json!({ "deploymentInfo": deployment.info(id) }))
            }
            "GetDeploymentTarget" => {
                let (id, deployment) = self.deployment(input)?;
                let instance = required(input, "targetId", "InvalidDeploymentTargetIdException")?;
                let target = deployment.targets.get(instance).ok_or_else(|| {
                    ApiError::sender(
                        "DeploymentTargetDoesNotExistException",
                        format!("The target {instance} is not part of the deployment {id}"),
                    )
                })?;
                Ok(json!({ "deploymentTarget": target.describe(id, instance) }))
            }
            "ListDeploymentTargets" => {
                let (_, deployment) = self.deployment(input)?;
                let ids: Vec<_> = deployment.targets.keys().collect();
                Ok(json!({ "targetIds": ids }))
            }
            "GetDeploymentGroup" => {
                let application = self.application(input)?;
                let name = required(input, "deploymentGroupName", "DeploymentGroupNameRequiredException")?;
                let group = self
                    .groups
                    .iter()
                    .find(|group| group.application == application && group.name == name)
                    .ok_or_else(|| {
                        ApiError::sender(
                            "DeploymentGroupDoesNotExistException",
                            format!("No Deployment Group found for name: {name}"),
                        )
                    })?;
                Ok(json!({ "deploymentGroupInfo": group.info() }))
            }
            "ListDeploymentGroups" => {
                let application = self.application(input)?;
                let names: Vec<_> = self
                    .groups
                    .iter()
                    .filter(|group| group.application == application)
                    .map(|group| &group.name)
                    .collect();
                Ok(json!({ "applicationName": application, "deploymentGroups": names }))
            }
            "ListDeployments" => {
                let group = input["deploymentGroupName"].as_str();
                let ids: Vec<_> = self
                    .deployments
                    .iter()
                    .filter(|(_, deployment)| group.is_none_or(|group| deployment.group == group))
                    .map(|(id, _)| id)
                    .collect();
                Ok(json!({ "deployments": ids }))
            }
            "GetApplication" => {
                let name = self.application(input)?;
                Ok(json!({ "application": {
                    "applicationId": "0a1b2c3d-0000-4000-8000-000000000000",
                    "applicationName": name,
                    "computePlatform": "Server",
                    "linkedToGitHub": false,
                }}))
            }
            other => Err(ApiError::sender(
                "UnknownOperationException",
                format!("The rehearsal's CodeDeploy has no operation {other}"),
            )),
        }
    }

    fn application<'a>(&self, input: &'a Value) -> Result<&'a str, ApiError> {
        let name = required(input, "applicationName", "ApplicationNameRequiredException")?;
        if self.groups.iter().any(|group| group.application == name) {
            Ok(name)
        } else {
            Err(ApiError::sender("ApplicationDoesNotExistException", format!("No application found for name: {name}")))
        }
    }

    fn deployment<'a>(&self, input: &'a Value) -> Result<(&'a str, &Deployment), ApiError> {
        let id = required(input, "deploymentId", "DeploymentIdRequiredException")?;
        self.deployments.get(id).map(|deployment| (id, deployment)).ok_or_else(|| {
            ApiError::sender("DeploymentDoesNotExistException", format!("The deployment {id} could not be found"))
        })
    }
}

impl DeploymentGroup {
    fn info(&self) -> Value {
        let mut info = json!({
            "applicationName": self.application,
            "deploymentGroupId": self.id,
            "deploymentGroupName": self.name,
            "deploymentConfigName": "CodeDeployDefault.OneAtATime",
            "computePlatform": "Server",
            "serviceRoleArn": format!("arn:aws:iam::{ACCOUNT}:role/sample-codedeploy"),
            "ec2TagFilters": [],
            "ec2TagSet": { "ec2TagSetList": [[
                { "Key": SELECTING_TAG, "Value": "true", "Type": "KEY_AND_VALUE" },
            ]]},
            "onPremisesInstanceTagFilters": [],
            "autoScalingGroups": [],
            "triggerConfigurations": [],
            "outdatedInstancesStrategy": "UPDATE",
            "deploymentStyle": {
                "deploymentType": if self.in_place { "IN_PLACE" } else { "BLUE_GREEN" },
                "deploymentOption": match self.controls_traffic {
                    Some(_) => "WITH_TRAFFIC_CONTROL",
                    None => "WITHOUT_TRAFFIC_CONTROL",
                },
            },
        });
        if let Some(target_group) = &self.controls_traffic {
            info["loadBalancerInfo"] = json!({ "targetGroupInfoList": [{ "name": target_group }] });
        }
        info
    }
}

impl Deployment {
    fn info(&self, id: &str) -> Value {
        let count = |status: EventStatus| self.targets.values().filter(|target| target.status == status).count();
        let mut info = json!({
            "applicationName": self.application,
            "deploymentGroupName": self.group,
            "deploymentId": id,
            "deploymentConfigName": "CodeDeployDefault.OneAtATime",
            "status": self.status,
            "createTime": epoch(self.created),
            "startTime": epoch(self.created),
            "creator": self.creator,
            "ignoreApplicationStopFailures": false,
            "computePlatform": "Server",
            "deploymentStyle": { "deploymentType": "IN_PLACE" },
            "deploymentOverview": {
                "Pending": count(EventStatus::Pending),
                "InProgress": count(EventStatus::InProgress),
                "Succeeded": count(EventStatus::Succeeded),
                "Failed": count(EventStatus::Failed),
                "Skipped": count(EventStatus::Skipped),
                "Ready": 0,
            },
            "revision": { "revisionType": "S3", "s3Location": {
                "bucket": "sample-revisions",
                "key": format!("{}.tgz", self.revision),
                "bundleType": "tgz",
            }},
        });
        if let Some(finished) = self.finished {
            info["completeTime"] = epoch(finished);
        }
        if let Some((code, message)) = &self.error {
            info["errorInformation"] = json!({ "code": code, "message": message });
        }
        info
    }
}

impl Target {
    fn describe(&self, id: &str, instance: &str) -> Value {
        let events: Vec<_> = self.events.iter().map(EventRecord::describe).collect();
        json!({
            "deploymentTargetType": "InstanceTarget",
            "instanceTarget": {
                "deploymentId": id,
                "targetId": instance,
                "targetArn": format!("arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{instance}"),
                "status": self.status,
                "lastUpdatedAt": epoch(self.updated),
                "lifecycleEvents": events,
                "instanceLabel": "Blue",
            },
        })
    }
}

impl EventRecord {
    fn describe(&self) -> Value {
        let mut event = json!({ "lifecycleEventName": self.event, "status": self.status });
        if let Some(started) = self.started {
            event["startTime"] = epoch(started);
        }
        if let Some(ended) = self.ended {
            event["endTime"] = epoch(ended);
        }
        if let Some(diagnostics) = &self.diagnostics {
            event["diagnostics"] = json!({
                "errorCode": diagnostics.code.name(),
                "scriptName": diagnostics.script,
                "message": diagnostics.message,
                "logTail": diagnostics.log_tail,
            });
        }
        event
    }
}

/// A time as JSON 1.1 writes it: seconds since 1970 with milliseconds.
fn epoch(time: SystemTime) -> Value {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit 52 bits")]
    let seconds = since.as_millis() as f64 / 1000.0;
    json!(seconds)
}

fn required<'a>(input: &'a Value, name: &str, code: &'static str) -> Result<&'a str, ApiError> {
    input[name]
        .as_str()
        .filter(|value| !value.is_empty())
        .ok_or_else(|| ApiError::sender(code, format!("{name} is required")))
}
