//! `pitcrew status`: what the agent does now.

use std::future::Future;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use pitcrew_core::view::View;
use serde_json::Value;

use super::{AgentArgs, call, complain, exit};
use crate::protocol::Request;
use crate::protocol::client::{self, CallError, End, Waiting};
use crate::report::bootstrap;
use crate::report::status::{Ages, lines};
use crate::report::watch::{PREPARE, RESTORE, Screen, terminal_size};

/// Say what this instance does now: in traffic or out of it, why, and for how long
///
/// Ends with how the bootstrap went, where the instance had one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:

  pitcrew status --watch
  pitcrew status --json | jq -r .state")]
pub(super) struct StatusArgs {
    /// Look again every second: redraw at a terminal, write what changes elsewhere
    #[arg(long)]
    watch: bool,
    /// Write the whole document as JSON; with --watch one line a change
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: AgentArgs,
}

/// From one look to the next.
const LOOK: Duration = Duration::from_secs(1);

pub(super) fn run(arguments: StatusArgs) -> u8 {
    let socket = arguments.agent.path();
    let outcome = match (arguments.watch, arguments.json) {
        (false, json) => call::run(once(&socket, json)),
        (true, true) => call::run(follow_documents(&socket)),
        (true, false) => call::run(follow(&socket)),
    };
    match outcome {
        Ok(()) => exit::DONE,
        Err(error) => {
            complain(&error);
            error.downcast_ref::<CallError>().map_or(exit::FAILED, CallError::exit_status)
        }
    }
}

async fn once(socket: &Path, json: bool) -> anyhow::Result<()> {
    let journal = bootstrap::journal();
    let mut shown = match ask(socket, std::future::pending()).await {
        Ok(mut document) if json => {
            if let Some(journal) = journal {
                document["bootstrap"] = bootstrap::document(&journal);
            }
            return write(&format!("{document:#}\n")).map(|_| ());
        }
        Ok(document) => lines(&view(document)?, Ages::Shown),
        Err(error) => {
            // Where no agent came to be, how its installation went is the next question.
            if !json {
                write(&text(bootstrap::lines(&journal.unwrap_or_default())))?;
            }
            return Err(error.into());
        }
    };
    shown.extend(bootstrap::lines(&journal.unwrap_or_default()));
    write(&text(shown)).map(|_| ())
}

fn text(lines: Vec<String>) -> String {
    lines.into_iter().map(|line| line + "\n").collect()
}

/// Shows one look after the other until it is told to stop; an agent that is gone for a while is part of the show.
async fn follow(socket: &Path) -> anyhow::Result<()> {
    let is_terminal = std::io::stdout().is_terminal();
    let (mut screen, ages) = match is_terminal {
        true => (Screen::Terminal, Ages::Shown),
        false => (Screen::Stream { before: Vec::new() }, Ages::Hidden),
    };
    let mut stop = pin!(call::told_to_stop()?);
    if is_terminal {
        write(PREPARE)?;
    }
    let outcome = loop {
        let shown = match ask(socket, stop.as_mut()).await {
            Ok(document) => lines(&view(document)?, ages),
            Err(CallError::Cancelled { .. }) => break Ok(()),
            Err(error) => vec![error.to_string()],
        };
        if !write(&screen.show(shown, terminal_size()))? {
            break Ok(());
        }
        tokio::select! {
            biased;
            () = stop.as_mut() => break Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
    };
    if is_terminal {
        write(RESTORE)?;
    }
    outcome
}

/// Writes a document whenever it differs from the one before in more than ages.
async fn follow_documents(socket: &Path) -> anyhow::Result<()> {
    let mut stop = pin!(call::told_to_stop()?);
    let mut before = None;
    loop {
        let document = match ask(socket, stop.as_mut()).await {
            Err(CallError::Cancelled { .. }) => return Ok(()),
            document => document?,
        };
        let shown = lines(&view(document.clone())?, Ages::Hidden);
        if before.as_ref() != Some(&shown) && !write(&format!("{document}\n"))? {
            return Ok(());
        }
        before = Some(shown);
        tokio::select! {
            biased;
            () = stop.as_mut() => return Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn ask(socket: &Path, stop: impl Future<Output = ()>) -> Result<Value, CallError> {
    let waiting = Waiting { for_agent: LOOK, ..Waiting::default() };
    match client::call(|| call::connect(socket), Request::Status {}, waiting, stop, &mut |_| {}).await? {
        End::Status(document) => Ok(document),
        // Shown as it is, it says best what went wrong.
        End::Answer(answer) => Err(CallError::Unreachable { last: answer.sentence }),
    }
}

fn view(document: Value) -> anyhow::Result<View> {
    serde_json::from_value(document).context("reading the agent's status (is it of another version? try --json)")
}

/// Writes to stdout; false where nobody reads any more.
fn write(text: &str) -> anyhow::Result<bool> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("writing the status"),
    }
}
