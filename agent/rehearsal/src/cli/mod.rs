//! `pitcrew rehearse`: reads the options, plays, prints, and says by its exit status whether all went well.

mod args;
mod chaos;
mod hold;
mod many;
mod scenario;
mod simulated;
mod text;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};

use crate::crew::{Crew, ProcessCrew};
use crate::output::{say, show};
use crate::picture;
use crate::rehearsal::{self, Options, Stage};
use crate::timeline::Timeline;
use crate::verdict::Report;

pub use args::{RehearseArgs, SystemctlArgs};
pub use many::{Run, Runs, play_many, said};
pub use simulated::play;

/// Makes the crew of a simulated rehearsal: agents in this process, on the stage's own network and clock. Everything
/// random in it follows from the seed of the options.
pub type InProcess = dyn Fn(&Stage, &Options) -> anyhow::Result<Arc<dyn Crew>> + Sync;

/// Plays what the arguments say. Exit status: 0 all well, 1 a request was lost or an invariant broke, 2 it could not
/// be played.
pub fn run(args: RehearseArgs, in_process: &InProcess) -> ExitCode {
    let outcome = can_be_drawn(&args).and_then(|()| match args.chaos {
        Some(seconds) => chaos::run(&args, seconds, in_process),
        None if args.simulated => simulated::run(&args, in_process),
        None => real(&args),
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("pitcrew rehearse: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// What the hidden `pitcrew rehearse-systemctl` does.
pub fn systemctl(args: &SystemctlArgs) -> ExitCode {
    crate::crew::systemctl(&args.words)
}

/// Waits for ctrl-c, SIGTERM or a terminal that is closed, so that what was started is ended in every case.
async fn interruption() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminated = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut hung_up = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
    tokio::select! {
        biased;
        interrupted = tokio::signal::ctrl_c() => interrupted.context("waiting for ctrl-c"),
        _ = terminated.recv() => Ok(()),
        _ = hung_up.recv() => Ok(()),
    }
}

/// Fails before anything is played where a picture could not be written afterwards.
fn can_be_drawn(args: &RehearseArgs) -> anyhow::Result<()> {
    for path in args.html.iter().chain(&args.svg) {
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
        opened.with_context(|| format!("writing the picture to `{}`", path.display()))?;
    }
    Ok(())
}

/// Writes the pictures that were asked for.
fn draw(args: &RehearseArgs, report: &Report) -> anyhow::Result<()> {
    let write = |path: &Path, text: String| {
        std::fs::write(path, text).with_context(|| format!("writing the picture to `{}`", path.display()))
    };
    if let Some(path) = &args.html {
        write(path, picture::html(report))?;
    }
    if let Some(path) = &args.svg {
        write(path, picture::svg(report))?;
    }
    Ok(())
}

/// Where the world of a real rehearsal runs; agents and applications are processes of their own.
fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().context("starting the runtime")
}

fn real(args: &RehearseArgs) -> anyhow::Result<bool> {
    let options = args.options(args.seed.unwrap_or(1))?;
    runtime()?.block_on(async {
        let screen = Arc::new(text::Screen::new(args.json || args.hold, io::stdout().is_terminal()));
        let shown = Arc::clone(&screen);
        let timeline = Timeline::shown_by(Arc::new(move |entry| shown.entry(entry)));
        let mut stage = Stage::real(&options, timeline).await?;
        let program = std::env::current_exe().context("finding this executable")?;
        let crew = ProcessCrew::new(Arc::clone(&stage.world), program)?.with_settings(&options.settings);
        let crew: Arc<dyn Crew> = Arc::new(crew);
        if args.hold {
            hold::hold(&options, &stage, crew, args.hold_seconds).await?;
            return Ok(true);
        }
        let progress = Arc::clone(&screen);
        let played = tokio::select! {
            biased;
            played = rehearsal::run(
                &options,
                &stage,
                crew,
                Some(Arc::new(move |at, counts| progress.progress(at, counts))),
            ) => played,
            interrupted = interruption() => {
                interrupted?;
                anyhow::bail!("interrupted: agents and applications were ended");
            }
        };
        screen.clear_progress();
        let passed = played.as_ref().is_ok_and(|report| report.passed);
        if !passed {
            stage.keep_home();
        }
        let report = match played {
            Ok(report) => report,
            Err(error) => {
                if let Some(home) = stage.home() {
                    eprintln!("the logs of this rehearsal are in {}", home.display());
                }
                return Err(error);
            }
        };
        draw(args, &report)?;
        if args.json {
            say(serde_json::to_string_pretty(&report).context("writing the report")?);
        } else {
            show(text::summary(&report, screen.colour()));
            if let (false, Some(home)) = (passed, stage.home()) {
                say(format_args!("logs of agents and applications: {}", home.display()));
            }
        }
        Ok(report.passed)
    })
}
