//! Has Systems Manager install CodeDeploy's host agent: once, by a command that is followed to its end, or on a schedule.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use aws_config::SdkConfig;
use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::{CommandInvocationStatus, Target};
use tokio::time::{Instant, sleep};

use crate::effect::failure::Asked;

/// The document that installs packages of AWS.
const DOCUMENT: &str = "AWS-ConfigureAWSPackage";
/// As the document knows CodeDeploy's host agent.
const PACKAGE: &str = "AWSCodeDeployAgent";
/// The association's name in State Manager.
const ASSOCIATION: &str = "pitcrew-codedeploy-agent";
/// What a policy must allow it on.
const RESOURCE: &str = "the document AWS-ConfigureAWSPackage and the instances";
/// An installation that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_secs(2);

/// On which instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// On these.
    Instances(Vec<String>),
    /// On every one that carries this tag, also on those that come later.
    Tagged {
        /// The tag's key.
        key: String,
        /// Its value.
        value: String,
    },
}

/// Installs it now, and waits for the end on each instance; `say` hears of the progress. Fails with the names of the
/// instances on which it did not succeed, and with the action that the caller lacks.
pub async fn send(config: &SdkConfig, instances: &[String], say: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
    let client = Client::new(config);
    let object = format!("`{}`", instances.join(", "));
    let asked = Asked { permission: "ssm:SendCommand", object: &object, resource: RESOURCE };
    let request = client.send_command().document_name(DOCUMENT).set_parameters(Some(parameters()));
    let answer = request.set_instance_ids(Some(instances.to_vec())).send().await;
    let answer = answer.map_err(|error| match error.as_service_error() {
        Some(refusal) if refusal.is_invalid_instance_id() => anyhow!(
            "Systems Manager does not see all of {object} as Online: `pitcrew doctor` on the instance says why, and \
             `pitcrew ensure ssm --via package` there installs its agent"
        ),
        Some(_) | None => anyhow!(asked.explain(&error).sentence),
    })?;
    let id = answer.command().and_then(|command| command.command_id()).context("SendCommand gave no command id")?;
    say(&format!("command {id} installs {PACKAGE} on {}", instances.join(", ")));
    let mut failed = Vec::new();
    for instance in instances {
        let (status, output) = outcome(&client, id, instance, say).await?;
        say(&format!("{instance}: {status}{}", output.map(|line| format!(": {line}")).unwrap_or_default()));
        if status != CommandInvocationStatus::Success {
            failed.push(instance.as_str());
        }
    }
    match failed.as_slice() {
        [] => Ok(()),
        failed => {
            bail!("not installed on {}: aws ssm get-command-invocation --command-id {id} says more", failed.join(", "))
        }
    }
}

/// Has it installed again and again, by a State Manager association with this `schedule` (`rate(14 days)`); returns the
/// association's id. Fails with the action that the caller lacks.
pub async fn associate(config: &SdkConfig, who: &Who, schedule: &str) -> anyhow::Result<String> {
    let target = match who {
        Who::Instances(ids) => Target::builder().key("InstanceIds").set_values(Some(ids.clone())).build(),
        Who::Tagged { key, value } => Target::builder().key(format!("tag:{key}")).values(value).build(),
    };
    let object = format!("schedule `{schedule}`");
    let asked = Asked { permission: "ssm:CreateAssociation", object: &object, resource: RESOURCE };
    let request = Client::new(config).create_association().name(DOCUMENT).targets(target);
    let request =
        request.set_parameters(Some(parameters())).association_name(ASSOCIATION).schedule_expression(schedule);
    let answer = request.send().await.map_err(|error| anyhow!(asked.explain(&error).sentence))?;
    let id = answer.association_description().and_then(|association| association.association_id());
    Ok(id.context("CreateAssociation gave no id")?.to_owned())
}

/// "In-place update" keeps the agent up; the default would take it away in the middle of a deployment.
fn parameters() -> HashMap<String, Vec<String>> {
    [("action", "Install"), ("installationType", "In-place update"), ("name", PACKAGE)]
        .map(|(name, value)| (name.to_owned(), vec![value.to_owned()]))
        .into()
}

/// Waits for the end on one instance; with the last line of what was written there.
async fn outcome(
    client: &Client,
    id: &str,
    instance: &str,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<(CommandInvocationStatus, Option<String>)> {
    use CommandInvocationStatus as S;
    let object = format!("command `{id}` on `{instance}`");
    let asked = Asked { permission: "ssm:GetCommandInvocation", object: &object, resource: "*" };
    let over = Instant::now() + PATIENCE;
    let mut said = None;
    loop {
        let answer = client.get_command_invocation().command_id(id).instance_id(instance).send().await;
        let answer = match answer {
            // It takes a moment until the invocation exists.
            Err(error) if error.as_service_error().is_some_and(|error| error.is_invocation_does_not_exist()) => None,
            answer => Some(answer.map_err(|error| anyhow!(asked.explain(&error).sentence))?),
        };
        if let Some(answer) = answer
            && let Some(status) = answer.status()
        {
            match status {
                S::Success | S::Failed | S::Cancelled | S::TimedOut => {
                    let output = answer.standard_output_content().unwrap_or_default();
                    let last = output.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned);
                    return Ok((status.clone(), last));
                }
                _ if said.as_ref() != Some(status) => {
                    say(&format!("{instance}: {status}"));
                    said = Some(status.clone());
                }
                _ => {}
            }
        }
        if Instant::now() >= over {
            bail!("{instance}: no end within {} minutes", PATIENCE.as_secs() / 60);
        }
        sleep(LOOK).await;
    }
}
