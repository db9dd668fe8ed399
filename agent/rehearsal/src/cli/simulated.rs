//! `--simulated`: a rehearsal in one process under virtual time, or many of them.

use std::io::IsTerminal;
use std::sync::Arc;

use anyhow::Context;

use super::{InProcess, RehearseArgs, play_many, text};
use crate::output::{say, show};
use crate::rehearsal::{self, Options, Stage};
use crate::timeline::Timeline;
use crate::verdict::Report;

/// Plays one simulated rehearsal to its end, on this thread, under virtual time: it passes only when everybody waits.
///
/// Fails when it could not be played at all.
pub fn play(options: &Options, timeline: Timeline, in_process: &InProcess) -> anyhow::Result<Report> {
    // What libraries draw from this thread's generator follows from the seed, too.
    fastrand::seed(options.seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .context("starting the runtime")?;
    runtime.block_on(async {
        let stage = Stage::simulated(options, timeline).await?;
        let crew = in_process(&stage, options)?;
        rehearsal::run(options, &stage, crew, None).await
    })
}

pub(super) fn run(args: &RehearseArgs, in_process: &InProcess) -> anyhow::Result<bool> {
    let first = args.seed.unwrap_or(1);
    if args.runs == 1 { one(args, first, in_process) } else { many(args, first, in_process) }
}

fn one(args: &RehearseArgs, seed: u64, in_process: &InProcess) -> anyhow::Result<bool> {
    let screen = Arc::new(text::Screen::new(args.json, std::io::stdout().is_terminal()));
    let shown = Arc::clone(&screen);
    let timeline = Timeline::shown_by(Arc::new(move |entry| shown.entry(entry)));
    let report = play(&args.options(seed)?, timeline, in_process)?;
    super::draw(args, &report)?;
    if args.json {
        say(serde_json::to_string_pretty(&report).context("writing the report")?);
    } else {
        show(text::summary(&report, screen.colour()));
    }
    Ok(report.passed)
}

fn many(args: &RehearseArgs, first: u64, in_process: &InProcess) -> anyhow::Result<bool> {
    // Read once: every run plays the same bundle.
    let runs = play_many(&args.options(first)?, args.runs, in_process)?;
    if args.json {
        say(format_args!("{:#}", runs.json()));
    } else {
        show(&runs);
    }
    Ok(runs.passed())
}
