//! What a call asks leave for: the resources that it is about, as policies name them, and what conditions look at.

use serde_json::Value;

use super::State;
use super::identity::{ACCOUNT, REGION};
use super::operation::Operation;
use super::policy::Request;
use super::wire::Form;

/// The request that a policy is asked about, but for who calls.
pub(super) fn request<'a>(operation: &'a Operation, action: &'a str, state: &State) -> Request<'a> {
    let request = Request { action, ..Request::default() };
    match operation {
        Operation::LoadBalancing { form, .. } => {
            Request { resources: target_group(operation.action(), form), ..request }
        }
        Operation::AutoScaling { form, .. } => {
            Request { resources: scaling_group(operation.action(), form), ..request }
        }
        Operation::Ec2 { form, .. } => Request {
            resources: form.numbered("ResourceId").into_iter().map(instance).collect(),
            tag_keys: (1..).map_while(|n| form.get(&format!("Tag.{n}.Key"))).collect(),
            ..request
        },
        Operation::CodeDeploy { input, .. } => Request { resources: vec![deployment_group(input, state)], ..request },
        Operation::Parameter { name } => {
            let name = name.trim_start_matches('/');
            Request { resources: vec![format!("arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/{name}")], ..request }
        }
        Operation::Systems { input, .. } => Request { resources: document(operation.action(), input), ..request },
        Operation::Metrics { form, .. } => Request { namespace: form.get("Namespace"), ..request },
        Operation::Classic { .. } => request,
    }
}

fn instance(id: &str) -> String {
    format!("arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{id}")
}

/// Descriptions know no resources.
fn target_group(action: &str, form: &Form) -> Vec<String> {
    match action {
        "RegisterTargets" | "DeregisterTargets" => form.get("TargetGroupArn").map(str::to_owned).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn scaling_group(action: &str, form: &Form) -> Vec<String> {
    let id = "7b5c1e8f-0000-4000-8000-000000000001";
    let arn = |name: &str| {
        format!("arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:{id}:autoScalingGroupName/{name}")
    };
    match action {
        "DescribeAutoScalingInstances" | "DescribeLifecycleHooks" => Vec::new(),
        _ => vec![arn(form.get("AutoScalingGroupName").unwrap_or("unnamed"))],
    }
}

/// Questions about a deployment are allowed on its group; about one that there is not, on none in particular.
fn deployment_group(input: &Value, state: &State) -> String {
    let named = || Some((input["applicationName"].as_str()?, input["deploymentGroupName"].as_str()?));
    let of_deployment = || state.codedeploy.group_of(input["deploymentId"].as_str()?);
    let (application, group) = named().or_else(of_deployment).unwrap_or(("unknown", "unknown"));
    format!("arn:aws:codedeploy:{REGION}:{ACCOUNT}:deploymentgroup:{application}/{group}")
}

/// A document of AWS belongs to no account.
fn document(action: &str, input: &Value) -> Vec<String> {
    let (name, targets) = match action {
        "SendCommand" => (&input["DocumentName"], &input["InstanceIds"]),
        "CreateAssociation" => (&input["Name"], &Value::Null),
        _ => return Vec::new(),
    };
    let document = name.as_str().map(|name| format!("arn:aws:ssm:{REGION}::document/{name}"));
    let instances = targets.as_array().into_iter().flatten().filter_map(Value::as_str).map(instance);
    document.into_iter().chain(instances).collect()
}
