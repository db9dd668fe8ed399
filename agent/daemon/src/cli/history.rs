//! `pitcrew history`: what happened on this instance.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::{AgentArgs, call, complain, exit};
use crate::history::{History, Record};
use crate::protocol::Request;
use crate::protocol::client::{self, CallError, End, Waiting};
use crate::report::status::clock;

/// Say what happened here: deployments with their phases, notices, changes of state
///
/// Asks the agent; where none runs, reads what it left behind.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:

  pitcrew history --last 20
  pitcrew history --json | jq '.[] | select(.what == \"deployment-ended\")'")]
pub(super) struct HistoryArgs {
    /// Show only so many, the latest
    #[arg(long, value_name = "N", default_value_t = 50)]
    last: usize,
    /// Write everything as JSON: a list of records, the newest last
    #[arg(long)]
    json: bool,
    /// Where the agent remembers, for when none runs
    #[arg(long, value_name = "DIR", default_value = "/var/lib/pitcrew")]
    state_dir: PathBuf,
    #[command(flatten)]
    agent: AgentArgs,
}

/// An agent that does not take the call by then is not there.
const AGENT_WITHIN: Duration = Duration::from_secs(2);

pub(super) fn run(arguments: HistoryArgs) -> u8 {
    match tell(arguments) {
        Ok(()) => exit::DONE,
        Err(error) => {
            complain(&error);
            error.downcast_ref::<CallError>().map_or(exit::FAILED, CallError::exit_status)
        }
    }
}

fn tell(arguments: HistoryArgs) -> anyhow::Result<()> {
    let HistoryArgs { last, json, state_dir, agent } = arguments;
    let socket = agent.path();
    let asked = call::run(async {
        let waiting = Waiting { for_agent: AGENT_WITHIN, ..Waiting::default() };
        let never = std::future::pending();
        Ok(client::call(|| call::connect(&socket), Request::History {}, waiting, never, &mut |_| {}).await)
    })?;
    let records: Vec<Record> = match asked {
        Ok(End::Status(document)) => {
            serde_json::from_value(document).context("reading the agent's history (is it of another version?)")?
        }
        Ok(End::Answer(answer)) => anyhow::bail!("{}", answer.sentence),
        Err(error) => match History::read(&state_dir) {
            (records, _) if !records.is_empty() => records,
            _ => {
                let nor = format!("there is no history in `{}`, either", state_dir.display());
                return Err(anyhow::Error::new(error).context(nor));
            }
        },
    };
    let skip = if json { 0 } else { records.len().saturating_sub(last) };
    let text = match json {
        true => serde_json::to_string_pretty(&records).context("writing the history")? + "\n",
        false => records.iter().skip(skip).map(|record| format!("{}  {}\n", clock(record.at), record.what)).collect(),
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("writing the history"),
        Ok(()) | Err(_) => Ok(()),
    }
}
