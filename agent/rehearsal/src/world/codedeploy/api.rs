//! The API that tells of CodeDeploy's groups and deployments (JSON 1.1).

use std::time::SystemTime;

use serde_json::{Value, json};

use super::{CodeDeploy, Deployment, DeploymentGroup, EventRecord, EventStatus, Target};
use crate::crew::SELECTING_TAG;
use crate::world::identity::{ACCOUNT, REGION};
use crate::world::wire::ApiError;

impl CodeDeploy {
    /// Answers one operation of the API.
    pub(in crate::world) fn call(&self, operation: &str, input: &Value) -> Result<Value, ApiError> {
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
