//! The arguments of `pitcrew rehearse`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueEnum};

use crate::balancer::IdleOnDrain;
use crate::bundle::Bundle;
use crate::death::{Cause, Death, Generation};
use crate::interruption::{Action, Interruption, Kill, Moment};
use crate::lifecycle::LifecycleEvent;
use crate::rehearsal::{Group, Hooks, Options, Owner};
use crate::world::elastigroup::{GroupFault, GroupPlan, Wish};
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
    #[arg(long, value_name = "N", requires = "simulated", default_value_t = 1)]
    pub runs: u64,

    /// For so many seconds: worlds in which deployments, notices, faults and kills come at random, one after the other.
    /// One that fails is played again by its seed; with --simulated, also made as short as it can be
    #[arg(long, value_name = "SECONDS", conflicts_with_all = [
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
  pitcrew rehearse                                     one instance, the sample bundle
  pitcrew rehearse --bundle ./my-app --instances 3     your own bundle, three instances
  pitcrew rehearse --kill-agent-at ApplicationStop     the agent dies while traffic drains
  pitcrew rehearse --interrupt-at Install --instances 2    Spot takes an instance in the middle of a deployment
  pitcrew rehearse --interrupt-at 5 --simulated --runs 100 how soon after a notice traffic leaves, a hundred times
  pitcrew rehearse --elastigroup replace --at Install --instances 3    the group wants what is being deployed to
  pitcrew rehearse --interrupt-at ApplicationStop --instances 2 --set 'deployment.before_stop = \"answer\"'
  pitcrew rehearse --die-at ApplicationStart --death reboot    the deployment dies between its hooks
  pitcrew rehearse --die-at Install --rollback --host-agent 2  and CodeDeploy rolls back at once
  pitcrew rehearse --without-hooks                     what the same deployment loses without Pitcrew
  pitcrew rehearse --simulated --runs 1000             a thousand seeds in one process
  pitcrew rehearse --html report.html                  a page to show to others
  pitcrew rehearse --chaos 60 --simulated --seed 7     whatever may happen, for a minute
  pitcrew rehearse --hold >world.env &                 any AWS client against the stand-in world: `. ./world.env`

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

/// A new instance of an Elastigroup must be ready within this time.
const LAUNCH: Duration = Duration::from_secs(600);

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

impl RehearseArgs {
    /// The scenario for one seed. Fails when the bundle cannot be used, and when options do not fit together.
    pub fn options(&self, seed: u64) -> anyhow::Result<Options> {
        let owner = match self.owner {
            Who::Pitcrew => Owner::Pitcrew,
            Who::Codedeploy => Owner::CodeDeploy,
            Who::Elastigroup => Owner::Elastigroup,
        };
        self.check_events(owner)?;
        let bundle = match &self.bundle {
            Some(directory) => Bundle::read(directory)?,
            None => Bundle::sample()?,
        };
        let rate = self.rate.unwrap_or(if self.simulated { 25 } else { 500 });
        Ok(Options {
            seed,
            bundle,
            hooks: match (self.without_hooks, self.old_without_hooks) {
                (true, _) => Hooks::None,
                (false, true) => Hooks::NewOnly,
                (false, false) => Hooks::Both,
            },
            agents: !self.no_agent,
            settings: self.set.join("\n"),
            instances: self.instances,
            first: self.first,
            rate,
            requests: self.requests.unwrap_or(20 * u64::from(rate)),
            slow_requests: self.slow_requests.map(Duration::from_millis),
            keep_alive: self.keep_alive == OnOff::On,
            idle_on_drain: match self.idle_on_drain {
                Idle::Closed => IdleOnDrain::Closed,
                Idle::Kept => IdleOnDrain::KeptOpen,
            },
            deregistration_delay: Duration::from_secs(self.deregistration_delay),
            warm_up: Duration::from_secs_f64(self.warm_up),
            fail_at: self.fail_at,
            kill_agent_at: self.kill_agent_at.clone(),
            interruption: self.interruption()?,
            death: self.die_at.map(|at| Death { at, of: self.death }),
            rollback: self.rollback,
            host_agent: self.host_agent,
            clock_jump: self.jump_clock,
            owner,
            fault: match self.fault {
                Some(AnyFault::Aws(fault)) => Some(fault),
                Some(AnyFault::Metadata(_) | AnyFault::Elastigroup(_)) | None => None,
            },
            metadata_fault: match self.fault {
                Some(AnyFault::Metadata(fault)) => Some(fault),
                Some(AnyFault::Aws(_) | AnyFault::Elastigroup(_)) | None => None,
            },
            elastigroup: self.group(),
            denied: self.deny.clone(),
            overlap: self.overlap,
            chaos: None,
        })
    }

    /// The Elastigroup, where any option speaks of one.
    fn group(&self) -> Option<Group> {
        let fault = match self.fault {
            Some(AnyFault::Elastigroup(fault)) => Some(fault),
            Some(AnyFault::Aws(_) | AnyFault::Metadata(_)) | None => None,
        };
        let is_in_one = self.owner == Who::Elastigroup || self.elastigroup.is_some() || fault.is_some();
        is_in_one.then(|| Group {
            plan: GroupPlan { fault, ready: self.first.then_some(LAUNCH), ..GroupPlan::default() },
            wish: self.elastigroup.zip(self.at),
        })
    }

    fn interruption(&self) -> anyhow::Result<Option<Interruption>> {
        let Some(at) = self.interrupt_at else { return Ok(None) };
        let (action, notice) = (self.action, Duration::from_secs(self.notice));
        let shortest = action.shortest_notice();
        if notice < shortest {
            bail!("--action {action} is heard within {} s: give it a --notice of at least that", shortest.as_secs());
        }
        if self.withdraw_after.is_some() && matches!(action, Action::AutoScaling | Action::Shutdown) {
            bail!("--withdraw-after goes with notices that AWS takes back: {action} is none");
        }
        Ok(Some(Interruption { at, action, notice, withdrawn_after: self.withdraw_after.map(Duration::from_secs) }))
    }

    /// Every event that an option names must be one that this deployment plays.
    fn check_events(&self, owner: Owner) -> anyhow::Result<()> {
        let order = LifecycleEvent::order(owner == Owner::CodeDeploy);
        let during = |at| match at {
            Some(Moment::During(event)) => Some(event),
            Some(Moment::Idle(_)) | None => None,
        };
        let (interrupted, wanted) = (during(self.interrupt_at), during(self.at));
        let killed = match &self.kill_agent_at {
            Some(Kill::During(event) | Kill::ForGood(event)) => Some(*event),
            Some(Kill::AfterNotice(_) | Kill::Calling(_)) if interrupted.is_none() && self.interrupt_at.is_none() => {
                bail!("--kill-agent-at with seconds or a call goes with --interrupt-at");
            }
            Some(Kill::AfterNotice(_) | Kill::Calling(_)) | None => None,
        };
        for event in [interrupted, wanted, killed, self.fail_at, self.die_at].into_iter().flatten() {
            if !order.contains(&event) {
                bail!(
                    "{event} only happens where CodeDeploy controls traffic (--owner codedeploy); here the events are {}",
                    names(order, |_| true)
                );
            }
        }
        let hangs = self.die_at.filter(|_| self.death == Cause::Timeout);
        if let Some(event) = self.fail_at.into_iter().chain(hangs).find(|event| !event.is_scriptable()) {
            let scriptable = names(order, LifecycleEvent::is_scriptable);
            bail!("no script runs in {event}; scripts run in {scriptable}");
        }
        Ok(())
    }
}

fn names(order: &[LifecycleEvent], which: impl Fn(LifecycleEvent) -> bool) -> String {
    let names: Vec<_> = order.iter().filter(|event| which(**event)).map(|event| event.name()).collect();
    names.join(", ")
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: RehearseArgs,
    }

    fn read(words: &[&str]) -> Result<RehearseArgs, String> {
        let words = std::iter::once(&"rehearse").chain(words);
        Line::try_parse_from(words).map(|line| line.args).map_err(|error| error.to_string())
    }

    #[test]
    fn the_default_rehearsal_sends_ten_thousand_requests() {
        let options = read(&[]).unwrap().options(1).unwrap();
        assert_eq!(options.requests, 10_000);
        let simulated = read(&["--simulated"]).unwrap().options(1).unwrap();
        assert_eq!((simulated.rate, simulated.requests), (25, 500));
    }

    #[test]
    fn a_bad_option_says_which_words_are_good() {
        let cases: [(&[&str], &str); 18] = [
            (&["--fail-at", "Lunch"], "`Lunch` is no lifecycle event"),
            (&["--fail-at", "Install"], "scripts run in ApplicationStop"),
            (&["--kill-agent-at", "BlockTraffic"], "only happens where CodeDeploy controls traffic"),
            (&["--kill-agent-at", "+3"], "goes with --interrupt-at"),
            (&["--die-at", "Install", "--death", "timeout"], "scripts run in ApplicationStop"),
            (&["--die-at", "Install", "--death", "boredom"], "host-agent, stopped, timeout, reboot"),
            (&["--rollback"], "--die-at"),
            (&["--deny", "ec2:RunInstances"], "it allows autoscaling:CompleteLifecycleAction"),
            (&["--interrupt-at", "Lunch"], "or give a number of seconds"),
            (&["--interrupt-at", "5", "--action", "scheduled", "--notice", "20"], "at least that"),
            (&["--interrupt-at", "5", "--notice", "3"], "5..=3600"),
            (&["--notice", "20"], "--interrupt-at"),
            (&["--fault", "fire"], "throttle, 5xx, slow, denied, imds-hang"),
            (&["--elastigroup", "explode", "--at", "3"], "it does scale-in, replace, unhealthy, roll"),
            (&["--elastigroup", "roll"], "--at <EVENT|SECONDS>"),
            (&["--at", "3"], "--elastigroup <WHAT>"),
            (&["--elastigroup", "roll", "--at", "BlockTraffic"], "only happens where CodeDeploy controls traffic"),
            (&["--elastigroup", "roll", "--at", "3", "--interrupt-at", "3"], "cannot be used with"),
        ];
        for (words, expected) in cases {
            let error = read(words).and_then(|args| args.options(1).map(drop).map_err(|error| error.to_string()));
            let error = error.unwrap_err();
            assert!(error.contains(expected), "{words:?} gave {error}");
        }
    }

    #[test]
    fn an_interruption_is_read_whole() {
        let words = ["--interrupt-at", "AfterAllowTraffic", "--owner", "codedeploy", "--action", "hibernate"];
        let options = read(&words).unwrap().options(1).unwrap();
        let interruption = options.interruption.unwrap();
        assert_eq!(interruption.at, Moment::During(LifecycleEvent::AfterAllowTraffic));
        assert_eq!((interruption.action, interruption.notice), (Action::Hibernate, Duration::from_secs(120)));
    }
}
