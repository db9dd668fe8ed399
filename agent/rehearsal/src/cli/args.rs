//! The arguments of `pitcrew rehearse`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use crate::death::{Cause, Generation};
use crate::interruption::{Action, Kill, Moment};
use crate::lifecycle::LifecycleEvent;
use crate::world::elastigroup::{GroupFault, Wish};
use crate::world::faults::{Fault, MetadataFault, UnknownFault};
use crate::world::policy::Policy;

/// Roll a real CodeDeploy bundle out in a stand-in world on this machine, and see whether a request is lost
///
/// Starts a stand-in for the metadata service, load balancing and CodeDeploy on loopback, a load balancer in front of
/// real application processes, a steady load, and a real `pitcrew run` beside each instance that is deployed to. Then
/// the bundle is rolled out in CodeDeploy's order. No AWS account, no root, no network needed.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct RehearseArgs {
    /// A bundle of yours: a directory with appspec.yml. Its scripts run as you, for real; `systemctl` in them moves
    /// the stand-in application. Default: the sample bundle
    #[arg(long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,

    /// Instances to deploy to, one by one; one more only carries traffic
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub instances: u8,

    /// Requests per second [default: 500, or 25 when simulated]
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub rate: Option<u32>,

    /// Keep the load up until it has sent this many [default: 20 seconds' worth]
    #[arg(long, value_name = "N")]
    pub requests: Option<u64>,

    /// One request in twenty takes up to this long to answer
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    pub slow_requests: Option<u64>,

    /// Everything random follows from the seed: the same seed plays the same lags and faults [default: 1]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// The first deployment to these instances: no revision was installed before
    #[arg(long)]
    pub first: bool,

    /// Take the `pitcrew hook` shims out of the bundle: the control, which must lose requests
    #[arg(long, conflicts_with = "old_without_hooks")]
    pub without_hooks: bool,

    /// Only the new revision has shims: what the first deployment with Pitcrew is like
    #[arg(long)]
    pub old_without_hooks: bool,

    /// Start no agent; a hook then finds nobody and fails
    #[arg(long)]
    pub no_agent: bool,

    /// A setting of the agents, as their configuration writes it: `deployment.before_stop = "answer"`
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "no_agent")]
    pub set: Vec<String>,

    /// Who moves traffic: the agent, CodeDeploy because the deployment group names the target group, or the agent by
    /// Elastigroup's standby
    #[arg(long, value_name = "WHO", value_enum, default_value_t = Who::Pitcrew)]
    pub owner: Who,

    /// The instances belong to an Elastigroup, which wants: scale-in, replace, unhealthy, roll
    #[arg(long, value_name = "WHAT", requires = "at", conflicts_with_all = ["interrupt_at", "chaos"])]
    pub elastigroup: Option<Wish>,

    /// When the Elastigroup wants it: with this lifecycle event on the first instance; or so many seconds after the load
    /// has started, and then nothing is deployed
    #[arg(long, value_name = "EVENT|SECONDS", requires = "elastigroup")]
    pub at: Option<Moment>,

    /// Let a script of this lifecycle event fail on the first instance, after the shim and before the bundle's work
    #[arg(long, value_name = "EVENT")]
    pub fail_at: Option<LifecycleEvent>,

    /// Kill the agent (SIGKILL); it starts again a second later. During a lifecycle event (`EVENT:for-good`: nobody starts
    /// it again); or, with --interrupt-at, so many seconds after the notice, or at an AWS call that has taken effect
    #[arg(long, value_name = "EVENT|+SECONDS|CALL")]
    pub kill_agent_at: Option<Kill>,

    /// Give the first instance notice: in the second in which this lifecycle event begins; or so many seconds after the
    /// load has started, and then nothing is deployed
    #[arg(long, value_name = "EVENT|SECONDS")]
    pub interrupt_at: Option<Moment>,

    /// What takes it away: terminate, stop, hibernate, rebalance, scheduled, asg, shutdown
    #[arg(long, value_name = "HOW", requires = "interrupt_at", default_value = "terminate")]
    pub action: Action,

    /// How much time is really given
    #[arg(long, value_name = "SECONDS", requires = "interrupt_at", default_value_t = 120, value_parser = clap::value_parser!(u64).range(5..=3600))]
    pub notice: u64,

    /// The notice is gone again after so long, and the instance stays
    #[arg(long, value_name = "SECONDS", requires = "interrupt_at")]
    pub withdraw_after: Option<u64>,

    /// Let the deployment die on the first instance in this lifecycle event; then roll the next revision out
    #[arg(long, value_name = "EVENT", conflicts_with_all = ["interrupt_at", "overlap", "first"])]
    pub die_at: Option<LifecycleEvent>,

    /// What it dies of: host-agent (killed, and back five seconds later), stopped, timeout (of a script that ignores
    /// SIGTERM), reboot
    #[arg(long, value_name = "CAUSE", requires = "die_at", default_value = "host-agent")]
    pub death: Cause,

    /// What follows it is its rollback, at once
    #[arg(long, requires = "die_at")]
    pub rollback: bool,

    /// The generation of CodeDeploy's host agent: 1 sends SIGTERM at a script's timeout, 2 also SIGKILL
    #[arg(long, value_name = "1|2", default_value = "1")]
    pub host_agent: Generation,

    /// Set the interrupted instance's clock by so many seconds, in the middle of its drain
    #[arg(long, value_name = "SECONDS", requires_all = ["interrupt_at", "simulated"], allow_negative_numbers = true)]
    pub jump_clock: Option<i64>,

    /// Let AWS misbehave: throttle, 5xx, slow, denied; or a metadata service for half a minute around the notice:
    /// imds-hang, imds-503, imds-401, imds-empty, imds-flap; or Elastigroup's API: elastigroup-429, elastigroup-5xx,
    /// elastigroup-hang, elastigroup-401, elastigroup-rotation, elastigroup-html, elastigroup-fields
    #[arg(long, value_name = "NAME")]
    pub fault: Option<AnyFault>,

    /// Take one action out of the policy that instances' roles have (packaging/iam/agent.json)
    #[arg(long, value_name = "ACTION", value_parser = an_action)]
    pub deny: Option<String>,

    /// Deploy a second group to the first instance at the same time
    #[arg(long, conflicts_with = "without_hooks")]
    pub overlap: bool,

    /// The target group's deregistration delay
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub deregistration_delay: u64,

    /// Whether the balancer reuses its connections to instances
    #[arg(long, value_name = "WHICH", value_enum, default_value_t = OnOff::On)]
    pub keep_alive: OnOff,

    /// What the balancer does with idle connections to a draining instance (AWS does not say)
    #[arg(long, value_name = "WHICH", value_enum, default_value_t = Idle::Closed)]
    pub idle_on_drain: Idle,

    /// How long the application takes to start
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = some_seconds)]
    pub warm_up: f64,

    /// Deploy nothing: keep the world up and print the environment that points any AWS client at it
    #[arg(long, conflicts_with_all = ["simulated", "json"])]
    pub hold: bool,

    /// With --hold: end after this long instead of at ctrl-c
    #[arg(long, value_name = "SECONDS", requires = "hold")]
    pub hold_seconds: Option<u64>,

    /// Play world and agent in this process under virtual time: the same for the same seed, and a hundred times faster
    #[arg(long)]
    pub simulated: bool,

    /// With --simulated: play this many, each with the next seed
    #[arg(long, value_name = "N", requires = "simulated", default_value_t = 1,
        value_parser = clap::value_parser!(u64).range(1..))]
    pub runs: u64,

    /// For so many seconds: worlds in which deployments, notices, faults and kills come at random, one after the other.
    /// One that fails is played again by its seed; with --simulated, also made as short as it can be
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..), conflicts_with_all = [
        "hold", "runs", "interrupt_at", "kill_agent_at", "fail_at", "fault", "overlap", "first", "without_hooks",
        "old_without_hooks", "no_agent", "requests", "instances", "owner", "html",
    ])]
    pub chaos: Option<u64>,

    /// Print one JSON document instead of text
    #[arg(long)]
    pub json: bool,

    /// Write the rehearsal as a page: its verdict, and its phases over requests, latency and errors
    #[arg(long, value_name = "FILE", conflicts_with_all = ["hold", "runs"])]
    pub html: Option<PathBuf>,

    /// Write the drawing of that page alone
    #[arg(long, value_name = "FILE", conflicts_with_all = ["hold", "runs"])]
    pub svg: Option<PathBuf>,
}

const EXAMPLES: &str = "Examples:

  pitcrew rehearse                                  one instance, the sample bundle
  pitcrew rehearse --bundle ./my-app --instances 3  your own bundle, three instances
  pitcrew rehearse --without-hooks                  what the same deployment loses without Pitcrew
  pitcrew rehearse --html report.html               a page to show to others
  pitcrew rehearse --kill-agent-at ApplicationStop  the agent dies while traffic drains
  pitcrew rehearse --simulated --runs 1000          a thousand seeds in one process
  pitcrew rehearse --chaos 60 --simulated --seed 7  whatever may happen, for a minute

Spot takes an instance in the middle of a deployment; how soon after a notice traffic leaves, a hundred times:

  pitcrew rehearse --interrupt-at Install --instances 2
  pitcrew rehearse --interrupt-at ApplicationStop --instances 2 --set 'leave.budget = \"60s\"'
  pitcrew rehearse --interrupt-at 5 --simulated --runs 100

The deployment dies between its hooks; CodeDeploy rolls back at once; Elastigroup wants what is being deployed to:

  pitcrew rehearse --die-at ApplicationStart --death reboot
  pitcrew rehearse --die-at Install --rollback --host-agent 2
  pitcrew rehearse --elastigroup replace --at Install --instances 3

Any other AWS client against the stand-in world, told where it is by `. ./world.env`:

  pitcrew rehearse --hold >world.env &

Exit status: 0 nothing lost and every invariant held, 1 otherwise, 2 it could not be played.";

/// Who moves traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Who {
    /// The agent.
    Pitcrew,
    /// CodeDeploy's service.
    Codedeploy,
    /// The agent, by Elastigroup's standby.
    Elastigroup,
}

/// A fault by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnyFault {
    /// Of the AWS endpoints.
    Aws(Fault),
    /// Of the metadata services.
    Metadata(MetadataFault),
    /// Of Elastigroup's API.
    Elastigroup(GroupFault),
}

impl FromStr for AnyFault {
    type Err = UnknownFault;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let metadata = |_| word.parse().map(Self::Metadata);
        word.parse().map(Self::Aws).or_else(metadata).or_else(|_: UnknownFault| word.parse().map(Self::Elastigroup))
    }
}

/// A switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnOff {
    /// Yes.
    On,
    /// No.
    Off,
}

/// What a balancer does with idle connections to a draining target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Idle {
    /// Closes them within a moment.
    Closed,
    /// Keeps them until the deregistration delay ends.
    Kept,
}

/// The words after the stand-in `systemctl`.
#[derive(Debug, Clone, Args)]
pub struct SystemctlArgs {
    /// What `systemctl` was called with
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

fn an_action(word: &str) -> Result<String, String> {
    let policy = Policy::agent();
    let actions = policy.actions();
    match actions.contains_key(word) {
        true => Ok(word.to_owned()),
        false => {
            let known: Vec<_> = actions.into_keys().collect();
            Err(format!("the policy does not allow `{word}` anyway; it allows {}", known.join(", ")))
        }
    }
}

fn some_seconds(word: &str) -> Result<f64, String> {
    match word.parse::<f64>() {
        Ok(seconds) if (0.0..=600.0).contains(&seconds) => Ok(seconds),
        Ok(_) | Err(_) => Err("give a number of seconds from 0 to 600".to_owned()),
    }
}
