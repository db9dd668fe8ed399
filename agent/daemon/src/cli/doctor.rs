//! `pitcrew doctor`: what stands between this instance, or a fleet, and its next deployment.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use nix::sys::statvfs::statvfs;
use pitcrew_core::ids::{DeploymentGroup, InstanceId};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use super::{AgentArgs, ConfigArgs, call, complain, exit, say};
use crate::config::{self, Settings};
use crate::doctor::{self, Asking, Level, Line, Patience, Space};
use crate::doors::{Credentials, HostTransport, SystemClock};
use crate::effect::tags::{Owner, Tags};
use crate::effect::{Balancer, OwnIds, aws};
use crate::intake::host_agents::HostAgents;
use crate::intake::imds::{Endpoint, Imds, usual_services};
use crate::protocol::Request;
use crate::protocol::client::{self, End, Waiting};

/// Say what stands between this instance and its next deployment, and what exactly puts it right
///
/// Reads and asks; changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:

  sudo pitcrew doctor
  pitcrew doctor --watch                         until nothing fails any more
  pitcrew doctor --as-operator shop shop-prod    from anywhere, with your own credentials

Exit status: 0 all is well, 1 something fails, 2 there are only warnings, 78 configuration.")]
pub(super) struct DoctorArgs {
    /// Look at a deployment group from outside, with the credentials of whoever calls
    #[arg(long, num_args = 2, value_names = ["APP", "GROUP"], conflicts_with_all = ["application", "group"])]
    as_operator: Option<Vec<String>>,
    /// CodeDeploy's application [default: that of the latest deployment here]
    #[arg(long, value_name = "NAME", requires = "group")]
    application: Option<String>,
    /// The deployment group [default: that of the latest deployment here]
    #[arg(long, value_name = "NAME", requires = "application")]
    group: Option<String>,
    /// Look again every five seconds, until nothing fails
    #[arg(long)]
    watch: bool,
    /// Write one JSON document a look
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    agent: AgentArgs,
}

/// For what this host may tell slowly.
const PATIENCE: Duration = Duration::from_secs(3);
/// Where systemd keeps those of the agent's unit.
const CREDENTIALS: &str = "/run/credentials/pitcrew.service";
/// Only warnings.
const WARNINGS: u8 = 2;

pub(super) fn run(arguments: DoctorArgs) -> u8 {
    let settings = match config::load(&arguments.config.config_dir) {
        Ok(merged) => merged.into_settings(),
        Err(error) => {
            complain(&error.into());
            return exit::CONFIGURATION;
        }
    };
    match call::run(examine(&arguments, &settings)) {
        Ok(Level::Ok) => exit::DONE,
        Ok(Level::Warning) => WARNINGS,
        Ok(Level::Failed) => exit::FAILED,
        Err(error) => {
            complain(&error);
            exit::FAILED
        }
    }
}

async fn examine(arguments: &DoctorArgs, settings: &Settings) -> anyhow::Result<Level> {
    let socket = arguments.agent.socket_path();
    let look = async || match arguments.as_operator.as_deref() {
        Some([application, group]) => fleet(settings, application, group).await,
        Some(_) | None => instance(arguments, settings, &socket).await,
    };
    let mut shown: Vec<String> = Vec::new();
    let mut tell = |found: &[Line]| {
        if arguments.json {
            say(&json!({ "worst": doctor::worst(found), "checks": found }).to_string());
            return;
        }
        // What has not changed is not said again.
        let lines = doctor::lines(found, std::io::stdout().is_terminal());
        for line in lines.iter().filter(|line| !shown.contains(line)) {
            say(line);
        }
        shown = lines;
    };
    if arguments.watch {
        return doctor::until_green(look, tell).await;
    }
    let found = look().await?;
    tell(&found);
    Ok(doctor::worst(&found))
}

async fn instance(arguments: &DoctorArgs, settings: &Settings, socket: &Path) -> anyhow::Result<Vec<Line>> {
    let doors = doors();
    let endpoint = Endpoint::choose(settings.imds.endpoint.as_ref(), |name| std::env::var(name).ok())
        .context("choosing the metadata service")?;
    let imds = Arc::new(Imds::new(doors.transport.clone(), endpoint, settings.imds.timeout));
    let home = imds.identity().await.ok().map(|identity| identity.region);
    let sdk = aws::from_host(&settings.aws, home.as_deref(), &doors).await;
    let group = arguments.application.clone().zip(arguments.group.clone());
    let facts = doctor::gather(Asking {
        settings,
        imds: &imds,
        sdk,
        doors,
        credentials: credentials(),
        agents: HostAgents::below("/"),
        status: status(socket).await,
        group: group.map(|(application, name)| DeploymentGroup { application, name }),
        space: space(&[PathBuf::from("/var/lib"), settings.codedeploy.root.clone()]),
        clock_in_step: clock_in_step().await,
    });
    Ok(doctor::diagnose(&facts.await))
}

async fn fleet(settings: &Settings, application: &str, group: &str) -> anyhow::Result<Vec<Line>> {
    let doors = doors();
    let sdk = aws::from_host(&settings.aws, None, &doors).await;
    let region = sdk.region().context("no region is known: set AWS_REGION, or [aws] region")?;
    // Whose the instances are matters only to sentences here.
    let (partition, domain) = usual_services(region.as_ref());
    let owner = Owner { partition, account: "*", domain };
    let tags = Tags::new(sdk.clone(), doors.clone(), InstanceId::new("*"), &owner);
    let nobody = OwnIds { instance: InstanceId::new("i-operator"), address: None };
    let balancer = Balancer::new(sdk.clone(), doors, nobody, domain);
    let name = DeploymentGroup { application: application.to_owned(), name: group.to_owned() };
    let facts = doctor::gather_fleet(sdk, &tags, &balancer, name, Patience::of(settings)).await;
    Ok(doctor::diagnose_fleet(&facts))
}

/// This process's own, else those of the agent's unit, which root can read.
fn credentials() -> Credentials {
    let own = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    Credentials { directory: Some(own.unwrap_or_else(|| PathBuf::from(CREDENTIALS))) }
}

fn doors() -> aws::Doors {
    aws::Doors { transport: Arc::new(HostTransport::default()), clock: Arc::new(SystemClock) }
}

async fn status(socket: &Path) -> Result<Value, String> {
    let connect = || call::connect(socket);
    let waiting = Waiting { for_agent: Duration::ZERO, ..Waiting::default() };
    let mut unsaid = |_: &str| {};
    let asked = client::call(connect, Request::Status {}, waiting, std::future::pending(), &mut unsaid);
    match timeout(PATIENCE, asked).await {
        Ok(Ok(End::Status(document))) => Ok(document),
        Ok(Ok(End::Answer(answer))) => Err(answer.sentence),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the agent does not answer".to_owned()),
    }
}

/// A directory that is not there yet is made where its nearest parent is.
fn space(paths: &[PathBuf]) -> Vec<Space> {
    let there = |path: &PathBuf| path.ancestors().find(|ancestor| ancestor.exists()).map(Path::to_owned);
    let free = |path: PathBuf| {
        let facts = statvfs(&path).ok()?;
        Some(Space { path, free: facts.blocks_available() * facts.fragment_size() })
    };
    paths.iter().filter_map(there).filter_map(free).collect()
}

/// What systemd says of the clock; `None` where it does not run.
async fn clock_in_step() -> Option<bool> {
    let asked = Command::new("timedatectl").args(["show", "-p", "NTPSynchronized", "--value"]).output();
    let output = timeout(PATIENCE, asked).await.ok()?.ok()?;
    match String::from_utf8_lossy(&output.stdout).trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}
