//! `pitcrew out` and `pitcrew in`: an operator moves traffic by hand.

use std::time::Duration;

use clap::Args;
use pitcrew_core::time::millis;

use super::{AgentArgs, WaitForAgent, call};
use crate::config::duration;
use crate::protocol::Request;
use crate::protocol::client::Waiting;

/// Take this instance out of traffic and hold it there
///
/// Waits until it is drained. Deployments go on meanwhile, and do not bring it back.
#[derive(Debug, Args)]
#[command(after_help = "\
Example, for half an hour at most:

  pitcrew out --ttl 30m")]
pub(super) struct OutArgs {
    /// End the hold by itself after this time [default: not before `pitcrew in`]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = duration::parse_some)]
    ttl: Option<Duration>,
    #[command(flatten)]
    wait: WaitArgs,
}

/// End the hold and bring this instance back into traffic
///
/// Waits until the balancers find it healthy, or until it is clear why they cannot yet: an open deployment, a failing
/// probe.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:

  pitcrew in --wait 2m")]
pub(super) struct InArgs {
    #[command(flatten)]
    wait: WaitArgs,
}

#[derive(Debug, Args)]
struct WaitArgs {
    /// How long to wait until traffic is where it belongs [default: the agent's `deployment.hook_timeout`]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    wait: Option<Duration>,
    #[command(flatten)]
    for_agent: WaitForAgent,
    #[command(flatten)]
    agent: AgentArgs,
}

pub(super) fn out(arguments: OutArgs) -> u8 {
    let patience_ms = arguments.wait.wait.map(millis);
    arguments.wait.call(Request::Out { ttl_ms: arguments.ttl.map(millis), patience_ms })
}

pub(super) fn back_in(arguments: InArgs) -> u8 {
    let patience_ms = arguments.wait.wait.map(millis);
    arguments.wait.call(Request::In { patience_ms })
}

impl WaitArgs {
    fn call(self, request: Request) -> u8 {
        let waiting = Waiting { for_agent: self.for_agent.wait_for_agent, ..Waiting::default() };
        call::to_the_end(&self.agent.path(), request, waiting)
    }
}
