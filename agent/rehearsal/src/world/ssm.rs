//! Systems Manager, as an instance and its operator see it (JSON 1.1): who is online, inventory, commands, associations.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::wire::ApiError;

/// What Systems Manager holds.
#[derive(Debug, Default)]
pub(super) struct SystemsManager {
    /// Instances whose agent has registered.
    pub(super) online: BTreeSet<String>,
    /// By instance and type name.
    pub(super) inventory: BTreeMap<(String, String), Value>,
    /// Instances on which commands fail, and what these write there.
    pub(super) failing: BTreeMap<String, String>,
    /// As they were asked for.
    pub(super) associations: Vec<Value>,
    commands: BTreeMap<String, Value>,
    /// How often a command's end was asked for on an instance.
    looks: BTreeMap<(String, String), u32>,
}

impl SystemsManager {
    /// One that sees these instances.
    pub(super) fn seeing(online: BTreeSet<String>) -> Self {
        Self { online, ..Self::default() }
    }

    /// Answers one operation. `caller`: the instance whose role calls.
    pub(super) fn call(&mut self, operation: &str, input: &Value) -> Result<Value, ApiError> {
        match operation {
            "DescribeInstanceInformation" => Ok(self.describe(input)),
            "PutInventory" => self.put_inventory(input),
            "SendCommand" => self.send_command(input),
            "GetCommandInvocation" => self.invocation(input),
            "CreateAssociation" => self.associate(input),
            other => Err(ApiError::sender(
                "UnknownOperationException",
                format!("The rehearsal's Systems Manager has no operation {other}"),
            )),
        }
    }

    fn describe(&self, input: &Value) -> Value {
        let filters = input["Filters"].as_array().cloned().unwrap_or_default();
        let wanted: Option<Vec<_>> = filters.iter().find(|filter| filter["Key"] == "InstanceIds").map(|filter| {
            let values = filter["Values"].as_array().cloned().unwrap_or_default();
            values.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        });
        let chosen = self.online.iter().filter(|id| wanted.as_ref().is_none_or(|wanted| wanted.contains(id)));
        let list: Vec<_> = chosen
            .map(|id| {
                json!({
                    "InstanceId": id, "PingStatus": "Online", "AgentVersion": "3.3.3050.0", "IsLatestVersion": true,
                    "PlatformType": "Linux", "PlatformName": "Amazon Linux", "ResourceType": "EC2Instance",
                })
            })
            .collect();
        json!({ "InstanceInformationList": list })
    }

    fn put_inventory(&mut self, input: &Value) -> Result<Value, ApiError> {
        let instance = text(input, "InstanceId")?;
        let items = input["Items"].as_array().filter(|items| !items.is_empty());
        let items = items.ok_or_else(|| ApiError::sender("ValidationException", "Items must not be empty"))?;
        for item in items {
            let name = text(item, "TypeName")?;
            if !name.starts_with("Custom:") && !name.starts_with("AWS:") {
                return Err(ApiError::sender("InvalidTypeNameException", format!("{name} is no type of inventory")));
            }
            text(item, "SchemaVersion")?;
            text(item, "CaptureTime")?;
            self.inventory.insert((instance.to_owned(), name.to_owned()), item.clone());
        }
        Ok(json!({ "Message": "success" }))
    }

    fn send_command(&mut self, input: &Value) -> Result<Value, ApiError> {
        let document = text(input, "DocumentName")?;
        let instances = input["InstanceIds"].as_array().cloned().unwrap_or_default();
        let is_online = |id: &Value| id.as_str().is_some_and(|id| self.online.contains(id));
        if instances.is_empty() || !instances.iter().all(is_online) {
            return Err(ApiError::sender("InvalidInstanceId", "Instances not in a valid state for account"));
        }
        let id = format!("0831e1a8-0000-4000-8000-{:012}", self.commands.len() + 1);
        let command = json!({
            "CommandId": id, "DocumentName": document, "InstanceIds": instances, "Status": "Pending",
            "Parameters": input["Parameters"],
        });
        self.commands.insert(id, command.clone());
        Ok(json!({ "Command": command }))
    }

    /// Comes to be, waits, runs, and ends: a step with each look.
    fn invocation(&mut self, input: &Value) -> Result<Value, ApiError> {
        let (id, instance) = (text(input, "CommandId")?, text(input, "InstanceId")?);
        let unknown = || ApiError::sender("InvocationDoesNotExist", "");
        let command = self.commands.get(id).ok_or_else(unknown)?;
        let looks = self.looks.entry((id.to_owned(), instance.to_owned())).or_default();
        *looks += 1;
        let (status, output) = match (*looks, self.failing.get(instance)) {
            (1, _) => return Err(unknown()),
            (2, _) => ("Pending", ""),
            (3, _) => ("InProgress", ""),
            (_, Some(output)) => ("Failed", output.as_str()),
            (_, None) => ("Success", "Successfully installed AWSCodeDeployAgent\n"),
        };
        Ok(json!({
            "CommandId": id, "InstanceId": instance, "DocumentName": command["DocumentName"],
            "Status": status, "StatusDetails": status, "ResponseCode": if status == "Failed" { 1 } else { 0 },
            "StandardOutputContent": output,
        }))
    }

    fn associate(&mut self, input: &Value) -> Result<Value, ApiError> {
        let name = text(input, "Name")?;
        let id = format!("b1c2d3e4-0000-4000-8000-{:012}", self.associations.len() + 1);
        let association = json!({
            "AssociationId": id, "Name": name, "ScheduleExpression": input["ScheduleExpression"],
            "Targets": input["Targets"], "Parameters": input["Parameters"], "Overview": { "Status": "Pending" },
        });
        self.associations.push(association.clone());
        Ok(json!({ "AssociationDescription": association }))
    }
}

fn text<'a>(input: &'a Value, name: &str) -> Result<&'a str, ApiError> {
    input[name]
        .as_str()
        .filter(|value| !value.is_empty())
        .ok_or_else(|| ApiError::sender("ValidationException", format!("Value at '{name}' must not be null")))
}
