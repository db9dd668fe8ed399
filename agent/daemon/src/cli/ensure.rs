//! `pitcrew ensure ssm|codedeploy`: asks for an agent of AWS, and says how that goes.

use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::{ConfigArgs, call, complain, exit, say};
use crate::config::{self, Settings};
use crate::doors::{HostTransport, SystemClock};
use crate::effect::aws;
use crate::ensure::{self, Who};
use crate::intake::imds::{Endpoint, Imds};
use crate::supervise::Agent;

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

The calls need ssm:SendCommand, ssm:GetCommandInvocation and ssm:CreateAssociation (packaging/iam/operator.json).

Exit status: 0 installed, 1 not, 64 these options do not go together, 78 configuration.")]
pub(super) struct EnsureArgs {
    /// Which agent
    agent: Which,
    /// Who installs it
    #[arg(long, value_enum, default_value_t = Via::Package)]
    via: Via,
    /// With --via ssm: on this instance [default: the one that this runs on]
    #[arg(long, value_name = "ID")]
    instance: Vec<String>,
    /// On every instance with this tag; with --schedule
    #[arg(long, value_name = "KEY=VALUE", requires = "schedule", conflicts_with = "instance", value_parser = a_tag)]
    tag: Option<(String, String)>,
    /// With --via ssm: again and again, by a State Manager association with this schedule
    #[arg(long, value_name = "EXPRESSION", value_parser = a_schedule)]
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

pub(super) fn run(arguments: EnsureArgs) -> u8 {
    if let Some(sentence) = misfit(&arguments) {
        complain(&anyhow::anyhow!(sentence));
        return exit::USAGE;
    }
    let settings = match config::load(&arguments.config.config_dir) {
        Ok(merged) => merged.into_settings(),
        Err(error) => {
            complain(&error.into());
            return exit::CONFIGURATION;
        }
    };
    let agent = match arguments.agent {
        Which::Ssm => Agent::Ssm,
        Which::Codedeploy => Agent::CodeDeploy,
    };
    let outcome = match arguments.via {
        Via::Package => ensure::by_package(agent, &mut say),
        Via::Ssm => call::run(by_ssm(&arguments, &settings)),
    };
    match outcome {
        Ok(()) => exit::DONE,
        Err(error) => {
            complain(&error);
            exit::FAILED
        }
    }
}

/// Why these options do not go together, where they do not.
fn misfit(arguments: &EnsureArgs) -> Option<&'static str> {
    let of_ssm = !arguments.instance.is_empty() || arguments.tag.is_some() || arguments.schedule.is_some();
    match (arguments.via, arguments.agent) {
        (Via::Package, _) if of_ssm => {
            Some("--instance, --tag and --schedule go with --via ssm: a package is installed here")
        }
        (Via::Ssm, Which::Ssm) => Some("Systems Manager cannot install its own agent: use --via package"),
        (Via::Package, Which::Ssm | Which::Codedeploy) | (Via::Ssm, Which::Codedeploy) => None,
    }
}

async fn by_ssm(arguments: &EnsureArgs, settings: &Settings) -> anyhow::Result<()> {
    let transport = Arc::new(HostTransport::default());
    let doors = aws::Doors { transport, clock: Arc::new(SystemClock) };
    let (who, region) = match (arguments.instance.as_slice(), &arguments.tag) {
        (_, Some((key, value))) => (Who::Tagged { key: key.clone(), value: value.clone() }, None),
        ([], None) => {
            let endpoint = Endpoint::choose(settings.imds.endpoint.as_ref(), |name| std::env::var(name).ok())
                .context("choosing the metadata service")?;
            let imds = Imds::new(doors.transport.clone(), endpoint, settings.imds.timeout);
            let identity =
                imds.identity().await.context("asking which instance this is; or name one with --instance")?;
            (Who::Instances(vec![identity.instance.to_string()]), Some(identity.region))
        }
        (named, None) => (Who::Instances(named.to_vec()), None),
    };
    let sdk = aws::from_host(&settings.aws, region.as_deref(), &doors).await;
    anyhow::ensure!(sdk.region().is_some(), "no region is known: set AWS_REGION, or [aws] region");
    match (&arguments.schedule, &who) {
        (Some(schedule), _) => {
            let id = ensure::associate(&sdk, &who, schedule).await?;
            say(&format!("association {id} installs AWSCodeDeployAgent, {schedule}"));
            Ok(())
        }
        (None, Who::Instances(instances)) => ensure::send(&sdk, instances, &mut say).await,
        // Clap has --tag require --schedule.
        (None, Who::Tagged { .. }) => anyhow::bail!("--tag goes with --schedule"),
    }
}

fn a_tag(word: &str) -> Result<(String, String), String> {
    match word.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("give a tag as KEY=VALUE".to_owned()),
    }
}

/// State Manager takes `rate(…)`, `cron(…)` and `at(…)`.
fn a_schedule(word: &str) -> Result<String, String> {
    let known = ["rate(", "cron(", "at("].iter().any(|begins| word.starts_with(begins));
    match known && word.ends_with(')') {
        true => Ok(word.to_owned()),
        false => {
            Err("give a schedule as State Manager takes it: rate(14 days), cron(0 3 ? * SUN *) or at(…)".to_owned())
        }
    }
}
