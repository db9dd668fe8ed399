//! What the arguments of a rehearsal mean together: one scenario, or why they do not go together.

use std::time::Duration;

use anyhow::bail;

use super::args::{AnyFault, Idle, OnOff, RehearseArgs, Who};
use crate::balancer::IdleOnDrain;
use crate::bundle::Bundle;
use crate::death::{Cause, Death};
use crate::interruption::{Action, Interruption, Kill, Moment};
use crate::lifecycle::LifecycleEvent;
use crate::rehearsal::{Group, Hooks, Options, Owner};
use crate::world::elastigroup::GroupPlan;

/// A new instance of an Elastigroup must be ready within this time.
const LAUNCH: Duration = Duration::from_secs(600);

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
