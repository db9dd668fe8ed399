//! Many simulated rehearsals, one seed each, spread over the machine's cores, and what is said of them together.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, anyhow};
use serde::Serialize;
use serde_json::json;

use super::InProcess;
use super::simulated::play;
use crate::rehearsal::Options;
use crate::timeline::Timeline;
use crate::verdict::{Finding, Judgement, NoticeReport, Report};

/// Plays `options` with so many seeds, the first being that of `options`, on every core.
///
/// Fails when one could not be played at all.
pub fn play_many(options: &Options, runs: u64, in_process: &InProcess) -> anyhow::Result<Runs> {
    let next = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let work = || -> anyhow::Result<Vec<Run>> {
        let mut played = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= runs || failed.load(Ordering::Relaxed) {
                return Ok(played);
            }
            let seed = options.seed.wrapping_add(place);
            let options = Options { seed, ..options.clone() };
            let report = play(&options, Timeline::default(), in_process).with_context(|| format!("seed {seed}"));
            match report {
                Ok(report) => played.push(Run::of(&report)),
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
    Ok(Runs(runs))
}

/// What is kept of many rehearsals, by seed. Its text names what failed, and the seed that plays it again.
#[derive(Debug)]
pub struct Runs(Vec<Run>);

/// What is kept of one run among many.
#[derive(Debug)]
pub struct Run {
    /// Plays it again.
    pub seed: u64,
    /// Requests.
    pub sent: u64,
    /// Of them lost.
    pub lost: u64,
    /// What the verdict found broken: see [`said`].
    pub broken: Vec<String>,
    notices: Vec<NoticeReport>,
    metadata_requests_per_minute: f64,
}

/// A finding as one line: the invariant, if it is one, what is expected, and what was seen.
pub fn said(finding: &Finding) -> String {
    let invariant = finding.invariant.map(|number| format!("invariant {number}, ")).unwrap_or_default();
    format!("{invariant}{}: {}", finding.expectation, finding.why)
}

/// The findings that are broken, a line each.
pub(super) fn broken(report: &Report) -> Vec<String> {
    let broken = report.findings.iter().filter(|finding| finding.judgement == Judgement::Broken);
    broken.map(said).collect()
}

impl Run {
    fn of(report: &Report) -> Self {
        Self {
            seed: report.seed,
            sent: report.load.sent,
            lost: report.load.lost,
            broken: broken(report),
            notices: report.notices.clone(),
            metadata_requests_per_minute: report.metadata_requests_per_minute,
        }
    }

    fn passed(&self) -> bool {
        self.lost == 0 && self.broken.is_empty()
    }
}

impl Runs {
    /// Whether nothing was lost and nothing was found broken, in any.
    pub fn passed(&self) -> bool {
        self.0.iter().all(Run::passed)
    }

    /// Those that failed, by seed.
    pub fn failures(&self) -> impl Iterator<Item = &Run> {
        self.0.iter().filter(|run| !run.passed())
    }

    fn sum(&self, of: fn(&Run) -> u64) -> u64 {
        self.0.iter().map(of).sum()
    }

    fn delays(&self, of: fn(&NoticeReport) -> Option<u64>) -> Option<Delays> {
        Delays::of(self.0.iter().flat_map(|run| &run.notices).filter_map(of).collect())
    }

    /// Requests of each agent to its metadata service, in a minute.
    #[expect(clippy::cast_precision_loss, reason = "nobody plays 2^52 runs")]
    fn metadata_requests_per_minute(&self) -> f64 {
        self.0.iter().map(|run| run.metadata_requests_per_minute).sum::<f64>() / self.0.len().max(1) as f64
    }

    pub(super) fn json(&self) -> serde_json::Value {
        let failures: Vec<_> = self
            .failures()
            .map(|run| json!({ "seed": run.seed, "sent": run.sent, "lost": run.lost, "broken": run.broken }))
            .collect();
        json!({
            "passed": failures.is_empty(), "runs": self.0.len(), "sent": self.sum(|run| run.sent),
            "lost": self.sum(|run| run.lost), "failures": failures,
            "notice_to_read_ms": self.delays(|notice| notice.read_ms),
            "notice_to_deregister_ms": self.delays(|notice| notice.deregister_ms),
            "metadata_requests_per_minute": self.metadata_requests_per_minute(),
        })
    }
}

impl fmt::Display for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for run in self.failures() {
            writeln!(f, "seed {}: lost {} of {}", run.seed, run.lost, run.sent)?;
            for broken in &run.broken {
                writeln!(f, "  {broken}")?;
            }
        }
        let read = self.delays(|notice| notice.read_ms);
        let deregistered = self.delays(|notice| notice.deregister_ms);
        for (what, delays) in [("read", read), ("DeregisterTargets", deregistered)] {
            if let Some(Delays { count, p50, p99, max }) = delays {
                writeln!(f, "notice to {what:<18} p50 {p50} ms   p99 {p99} ms   max {max} ms   ({count} notices)")?;
            }
        }
        let asked = self.metadata_requests_per_minute();
        writeln!(f, "each agent asked its metadata service {asked:.0} times a minute")?;
        let (sent, lost) = (self.sum(|run| run.sent), self.sum(|run| run.lost));
        writeln!(f, "{} rehearsals, {} failed; lost {lost} of {sent} requests", self.0.len(), self.failures().count())?;
        if let Some(run) = self.failures().next() {
            writeln!(f, "play one again: the same command without --runs and with --seed {}", run.seed)?;
        }
        Ok(())
    }
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
