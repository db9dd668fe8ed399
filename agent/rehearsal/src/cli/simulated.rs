//! `--simulated`: many rehearsals in one process under virtual time, one seed each, spread over the machine's cores.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, anyhow};
use serde::Serialize;
use serde_json::json;

use super::{InProcess, RehearseArgs, text};
use crate::rehearsal::{self, Options, Stage};
use crate::timeline::Timeline;
use crate::verdict::{NoticeReport, Report};

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
        println!("{}", serde_json::to_string_pretty(&report).context("writing the report")?);
    } else {
        print!("{}", text::summary(&report, screen.colour()));
    }
    Ok(report.passed)
}

/// What is kept of one run among many.
struct Run {
    seed: u64,
    sent: u64,
    lost: u64,
    broken: Vec<String>,
    notices: Vec<NoticeReport>,
    metadata_requests_per_minute: f64,
}

/// How soon notices had their effect, in milliseconds, over many runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Delays {
    count: usize,
    p50: u64,
    p99: u64,
    max: u64,
}

impl Delays {
    /// `None` where there was nothing to be measured.
    fn of(mut delays: Vec<u64>) -> Option<Self> {
        delays.sort_unstable();
        let count = delays.len();
        // The smallest that this share of them does not exceed.
        let at = |percent: usize| delays.get((count * percent).div_ceil(100).max(1) - 1).copied();
        Some(Self { count, p50: at(50)?, p99: at(99)?, max: at(100)? })
    }
}

fn many(args: &RehearseArgs, first: u64, in_process: &InProcess) -> anyhow::Result<bool> {
    // Read once: every run plays the same bundle.
    let options = args.options(first)?;
    let next = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let work = || -> anyhow::Result<Vec<Run>> {
        let mut runs = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= args.runs || failed.load(Ordering::Relaxed) {
                return Ok(runs);
            }
            let options = Options { seed: first.wrapping_add(place), ..options.clone() };
            let seed = options.seed;
            let report = play(&options, Timeline::default(), in_process).with_context(|| format!("seed {seed}"));
            match report {
                Ok(report) => runs.push(Run::of(&report)),
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    };
    let outcomes: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().map_err(|_| anyhow!("a rehearsal panicked"))).collect()
    });
    let mut runs = Vec::new();
    for outcome in outcomes {
        runs.extend(outcome??);
    }
    runs.sort_by_key(|run| run.seed);
    print(args, &runs);
    Ok(runs.iter().all(Run::passed))
}

impl Run {
    fn of(report: &Report) -> Self {
        let broken = report.findings.iter().filter(|finding| finding.judgement == crate::verdict::Judgement::Broken);
        Self {
            seed: report.seed,
            sent: report.load.sent,
            lost: report.load.lost,
            broken: broken.map(|finding| format!("{}: {}", finding.expectation, finding.why)).collect(),
            notices: report.notices.clone(),
            metadata_requests_per_minute: report.metadata_requests_per_minute,
        }
    }

    fn passed(&self) -> bool {
        self.lost == 0 && self.broken.is_empty()
    }
}

fn print(args: &RehearseArgs, runs: &[Run]) {
    let sent: u64 = runs.iter().map(|run| run.sent).sum();
    let lost: u64 = runs.iter().map(|run| run.lost).sum();
    let failed: Vec<_> = runs.iter().filter(|run| !run.passed()).collect();
    let notices = || runs.iter().flat_map(|run| &run.notices);
    let read = Delays::of(notices().filter_map(|notice| notice.read_ms).collect());
    let deregistered = Delays::of(notices().filter_map(|notice| notice.deregister_ms).collect());
    let asked: f64 = runs.iter().map(|run| run.metadata_requests_per_minute).sum();
    #[expect(clippy::cast_precision_loss, reason = "nobody plays 2^52 runs")]
    let asked = asked / runs.len().max(1) as f64;
    if args.json {
        let failures: Vec<_> = failed
            .iter()
            .map(|run| json!({ "seed": run.seed, "sent": run.sent, "lost": run.lost, "broken": run.broken }))
            .collect();
        let document = json!({
            "passed": failed.is_empty(), "runs": runs.len(), "sent": sent, "lost": lost, "failures": failures,
            "notice_to_read_ms": read, "notice_to_deregister_ms": deregistered,
            "metadata_requests_per_minute": asked,
        });
        println!("{document:#}");
        return;
    }
    for run in &failed {
        println!("seed {}: lost {} of {}", run.seed, run.lost, run.sent);
        for broken in &run.broken {
            println!("  {broken}");
        }
    }
    for (what, delays) in [("read", read), ("DeregisterTargets", deregistered)] {
        if let Some(Delays { count, p50, p99, max }) = delays {
            println!("notice to {what:<18} p50 {p50} ms   p99 {p99} ms   max {max} ms   ({count} notices)");
        }
    }
    println!("each agent asked its metadata service {asked:.0} times a minute");
    println!("{} rehearsals, {} failed; lost {lost} of {sent} requests", runs.len(), failed.len());
    if let Some(run) = failed.first() {
        println!("play one again: the same command without --runs and with --seed {}", run.seed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let of = |count: u64| Delays::of((1..=count).rev().collect());
        assert_eq!(of(100), Some(Delays { count: 100, p50: 50, p99: 99, max: 100 }));
        assert_eq!(of(1), Some(Delays { count: 1, p50: 1, p99: 1, max: 1 }));
        assert_eq!(of(0), None);
    }
}
