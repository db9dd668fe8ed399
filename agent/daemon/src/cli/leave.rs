//! `pitcrew leave`: an operator takes the instance out of traffic for good.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use pitcrew_core::time::{Spoken, millis};
use pitcrew_core::view::TargetView;

use super::{AgentArgs, WaitForAgent, call, complain, exit, say};
use crate::config::duration;
use crate::protocol::client::{self, CallError, End, Waiting};
use crate::protocol::{LeavePlan, Request};

/// Leave for good: out of traffic, run drain.d, remove the tags, let go who waits
///
/// What a Spot interruption would start, started by hand. The instance does not return to traffic before it is booted
/// again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:

  pitcrew leave --dry-run
  pitcrew leave --in 90s")]
pub(super) struct LeaveArgs {
    /// How long leaving may take [default: the agent's `leave.budget`]
    #[arg(long = "in", value_name = "DURATION", allow_hyphen_values = true, value_parser = duration::parse_some)]
    within: Option<Duration>,
    /// Say what would happen, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Begin it, and do not wait for its end
    #[arg(long, conflicts_with = "dry_run")]
    no_wait: bool,
    #[command(flatten)]
    for_agent: WaitForAgent,
    #[command(flatten)]
    agent: AgentArgs,
}

pub(super) fn run(arguments: LeaveArgs) -> u8 {
    let within_ms = arguments.within.map(millis);
    let waiting = Waiting { for_agent: arguments.for_agent.wait_for_agent, ..Waiting::default() };
    let socket = arguments.agent.path();
    if !arguments.dry_run {
        let request = Request::Leave { within_ms, waits: !arguments.no_wait, patience_ms: None };
        return call::to_the_end(&socket, request, waiting);
    }
    match call::run(plan(&socket, within_ms, waiting)) {
        Ok(plan) => {
            for line in lines(&plan) {
                say(&line);
            }
            exit::DONE
        }
        Err(error) => {
            complain(&error);
            error.downcast_ref::<CallError>().map_or(exit::FAILED, CallError::exit_status)
        }
    }
}

async fn plan(socket: &Path, within_ms: Option<u64>, waiting: Waiting) -> anyhow::Result<LeavePlan> {
    let stop = call::told_to_stop()?;
    let request = Request::LeavePlan { within_ms };
    match client::call(|| call::connect(socket), request, waiting, stop, &mut |_| {}).await? {
        End::Status(document) => {
            serde_json::from_value(document).context("reading the agent's plan (is it of another version?)")
        }
        End::Answer(answer) => bail!(answer.sentence),
    }
}

/// The plan, a step a line.
fn lines(plan: &LeavePlan) -> Vec<String> {
    let spoken = |ms| Spoken(Duration::from_millis(ms));
    let list = |words: &[String]| if words.is_empty() { "none".to_owned() } else { words.join(", ") };
    let core = &plan.core;
    let mut lines = vec![format!("leaving would take at most {}:", spoken(core.budget_ms))];
    match core.targets.is_empty() {
        true => lines.push("  traffic: in no target group".to_owned()),
        false => lines.push(format!("  traffic: out of these, within {}", spoken(core.drain_ms))),
    }
    lines.extend(core.targets.iter().map(target));
    lines.push(match &plan.scripts {
        Ok(names) => format!("  drain.d: {}, all killed after {}", list(names), spoken(core.scripts_until_ms)),
        Err(why) => format!("  drain.d: {why}"),
    });
    lines.push(format!("  tags removed: {}", list(&plan.remove_tags)));
    lines
}

fn target(view: &TargetView) -> String {
    format!("    {} port {}: {}", view.group.short(), view.target.port, view.standing)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use pitcrew_core::leaving::LeavePlan as CorePlan;
    use pitcrew_core::wire::Target;

    use super::*;

    fn shown(plan: &LeavePlan) -> String {
        lines(plan).join("\n")
    }

    #[test]
    fn a_plan_is_shown_step_by_step() {
        let target = |port| TargetView {
            group: "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/web/0123456789abcdef".into(),
            target: Target { id: "i-1".into(), port, zone: None },
            balancer: None,
            standing: "healthy".into(),
            taken_out: false,
            put_back: 0,
            drained: None,
        };
        let targets = vec![target(8080), target(8443)];
        let core = CorePlan { budget_ms: 120_000, drain_ms: 85_000, scripts_until_ms: 115_000, targets };
        let plan = LeavePlan {
            core,
            scripts: Ok(vec!["10-flush".into(), "20-upload".into()]),
            remove_tags: vec!["deploy".into()],
        };
        expect![[r#"
            leaving would take at most 120 s:
              traffic: out of these, within 85 s
                web port 8080: healthy
                web port 8443: healthy
              drain.d: 10-flush, 20-upload, all killed after 115 s
              tags removed: deploy"#]]
        .assert_eq(&shown(&plan));

        let core = CorePlan { budget_ms: 5_000, drain_ms: 3_250, scripts_until_ms: 4_500, targets: Vec::new() };
        let bare =
            LeavePlan { core, scripts: Err("`/etc/pitcrew/drain.d` cannot be read".into()), remove_tags: vec![] };
        expect![[r#"
            leaving would take at most 5 s:
              traffic: in no target group
              drain.d: `/etc/pitcrew/drain.d` cannot be read
              tags removed: none"#]]
        .assert_eq(&shown(&bare));
    }
}
