//! `pitcrew ensure ssm|codedeploy`: has an agent of AWS installed, by the package manager or through Systems Manager.

use std::collections::HashMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::{CommandInvocationStatus, Target};
use clap::{Args, ValueEnum};
use tokio::time::{Instant, sleep};

use super::{ConfigArgs, call, complain, exit, say};
use crate::config::{self, Settings};
use crate::doors::{ReqwestTransport, SystemClock};
use crate::effect::aws;
use crate::intake::host_agents::HostAgents;
use crate::intake::imds::{Endpoint, Imds};

/// Have an agent of AWS installed and running
///
/// `--via package` asks this host's own package manager; `--via ssm` has Systems Manager do it, here or on other
/// instances, once or on a schedule.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:

  sudo pitcrew ensure ssm --via package
  pitcrew ensure codedeploy --via ssm                                     on this instance, now
  pitcrew ensure codedeploy --via ssm --instance i-0123 --instance i-4567
  pitcrew ensure codedeploy --via ssm --tag deploy=true --schedule 'rate(14 days)'

The calls need ssm:SendCommand, ssm:GetCommandInvocation and ssm:CreateAssociation (packaging/iam/operator.json).")]
pub(super) struct EnsureArgs {
    /// Which agent
    agent: Which,
    /// Who installs it
    #[arg(long, value_enum, default_value_t = Via::Package)]
    via: Via,
    /// On this instance [default: the one that this runs on]
    #[arg(long, value_name = "ID")]
    instance: Vec<String>,
    /// On every instance with this tag; with --schedule
    #[arg(long, value_name = "KEY=VALUE", requires = "schedule")]
    tag: Option<String>,
    /// Again and again: a State Manager association with this schedule
    #[arg(long, value_name = "EXPRESSION")]
    schedule: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    /// SSM's agent
    Ssm,
    /// CodeDeploy's host agent
    Codedeploy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Via {
    /// This host's package manager, as root
    Package,
    /// Systems Manager's AWS-ConfigureAWSPackage
    Ssm,
}

/// The document that installs packages of AWS.
const DOCUMENT: &str = "AWS-ConfigureAWSPackage";
/// An installation that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_secs(2);

pub(super) fn run(arguments: EnsureArgs) -> u8 {
    let settings = match config::load(&arguments.config.config_dir) {
        Ok(merged) => merged.into_settings(),
        Err(error) => {
            complain(&error.into());
            return exit::CONFIGURATION;
        }
    };
    let outcome = match (arguments.via, arguments.agent) {
        (Via::Package, which) => by_package(which),
        (Via::Ssm, Which::Ssm) => Err(anyhow::anyhow!("SSM cannot install its own agent: use --via package")),
        (Via::Ssm, Which::Codedeploy) => call::run(by_ssm(&arguments, &settings)),
    };
    match outcome {
        Ok(()) => exit::DONE,
        Err(error) => {
            complain(&error);
            exit::FAILED
        }
    }
}

/// Package, unit and manager: the first manager that is there decides.
fn by_package(which: Which) -> anyhow::Result<()> {
    let seen = HostAgents::below("/").look();
    let (package, unit, installed, running) = match which {
        Which::Ssm => ("amazon-ssm-agent", "amazon-ssm-agent", seen.ssm.installed, seen.ssm.running),
        Which::Codedeploy => {
            ("codedeploy-agent", "codedeploy-agent", seen.codedeploy.installed, seen.codedeploy.running)
        }
    };
    if installed && running == Some(true) {
        say(&format!("{package} is installed and runs"));
        return Ok(());
    }
    if !installed {
        let managers: [(&str, &[&str]); 4] = [
            ("dnf", &["install", "-y"]),
            ("yum", &["install", "-y"]),
            ("apt-get", &["install", "-y"]),
            ("zypper", &["--non-interactive", "install"]),
        ];
        let there = managers.into_iter().find(|(manager, _)| Command::new(manager).arg("--version").output().is_ok());
        let (manager, words) = there.context("this host has no package manager that is known here")?;
        say(&format!("installing {package} with {manager}"));
        let status = Command::new(manager).args(words).arg(package).status().context("starting the package manager")?;
        ensure!(
            status.success(),
            "`{manager} {} {package}` ended with {status}: where no repository has it, `pitcrew-bootstrap` fetches it from \
             the region's bucket (packaging/bootstrap.example.toml)",
            words.join(" ")
        );
    }
    let status = Command::new("systemctl").args(["enable", "--now", unit]).status().context("starting systemctl")?;
    ensure!(status.success(), "`systemctl enable --now {unit}` ended with {status}");
    say(&format!("{package} is installed and runs"));
    Ok(())
}

async fn by_ssm(arguments: &EnsureArgs, settings: &Settings) -> anyhow::Result<()> {
    let transport = Arc::new(ReqwestTransport::new().context("building the HTTP client")?);
    let doors = aws::Doors { transport, clock: Arc::new(SystemClock) };
    let here = match (arguments.instance.as_slice(), &arguments.tag) {
        ([], None) => {
            let endpoint = Endpoint::choose(settings.imds.endpoint.as_ref(), |name| std::env::var(name).ok())
                .context("choosing the metadata service")?;
            let imds = Imds::new(doors.transport.clone(), endpoint, settings.imds.timeout);
            let identity =
                imds.identity().await.context("asking which instance this is; or name one with --instance")?;
            Some(identity)
        }
        _ => None,
    };
    let sdk = aws::from_host(&settings.aws, here.as_ref().map(|identity| identity.region.as_str()), &doors).await;
    let client = Client::new(&sdk);
    let instances = match &here {
        Some(identity) => vec![identity.instance.to_string()],
        None => arguments.instance.clone(),
    };
    match &arguments.schedule {
        Some(schedule) => associate(&client, &instances, arguments.tag.as_deref(), schedule).await,
        None => send(&client, &instances).await,
    }
}

/// "In-place update" keeps the agent up; the default would take it away in the middle of a deployment.
fn parameters() -> HashMap<String, Vec<String>> {
    [("action", "Install"), ("installationType", "In-place update"), ("name", "AWSCodeDeployAgent")]
        .map(|(name, value)| (name.to_owned(), vec![value.to_owned()]))
        .into()
}

async fn send(client: &Client, instances: &[String]) -> anyhow::Result<()> {
    let request = client.send_command().document_name(DOCUMENT).set_parameters(Some(parameters()));
    let answer = request
        .set_instance_ids(Some(instances.to_vec()))
        .send()
        .await
        .context("SendCommand: it needs ssm:SendCommand, and instances that Systems Manager sees as Online")?;
    let id = answer.command().and_then(|command| command.command_id()).context("SendCommand gave no command id")?;
    say(&format!("command {id} installs AWSCodeDeployAgent on {}", instances.join(", ")));
    let mut failed = Vec::new();
    for instance in instances {
        let (status, output) = outcome(client, id, instance).await?;
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

/// Waits for the end on one instance; with the last line of what was written there.
async fn outcome(
    client: &Client,
    id: &str,
    instance: &str,
) -> anyhow::Result<(CommandInvocationStatus, Option<String>)> {
    let over = Instant::now() + PATIENCE;
    let mut said = None;
    loop {
        let answer = client.get_command_invocation().command_id(id).instance_id(instance).send().await;
        let answer = match answer {
            // It takes a moment until the invocation exists.
            Err(error) if error.as_service_error().is_some_and(|error| error.is_invocation_does_not_exist()) => None,
            answer => Some(answer.context("GetCommandInvocation: it needs ssm:GetCommandInvocation")?),
        };
        if let Some(answer) = answer
            && let Some(status) = answer.status()
        {
            use CommandInvocationStatus as S;
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

async fn associate(client: &Client, instances: &[String], tag: Option<&str>, schedule: &str) -> anyhow::Result<()> {
    let target = match tag {
        Some(tag) => {
            let (key, value) = tag.split_once('=').context("--tag wants KEY=VALUE")?;
            Target::builder().key(format!("tag:{key}")).values(value).build()
        }
        None => Target::builder().key("InstanceIds").set_values(Some(instances.to_vec())).build(),
    };
    let request = client.create_association().name(DOCUMENT).targets(target).set_parameters(Some(parameters()));
    let answer = request
        .association_name("pitcrew-codedeploy-agent")
        .schedule_expression(schedule)
        .send()
        .await
        .context("CreateAssociation: it needs ssm:CreateAssociation")?;
    let id = answer.association_description().and_then(|association| association.association_id());
    say(&format!("association {} installs AWSCodeDeployAgent, {schedule}", id.unwrap_or("without an id")));
    Ok(())
}
