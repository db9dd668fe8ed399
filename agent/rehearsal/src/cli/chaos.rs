//! `--chaos SECONDS`: worlds in which anything may happen, one after the other, for as long as asked; and of one that
//! failed, the shortest timeline that still fails.

use std::iter::Sum;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde::Serialize;
use tokio::time::Instant;

use super::many::broken;
use super::simulated::play;
use super::{InProcess, RehearseArgs, interruption, runtime};
use crate::crew::ProcessCrew;
use crate::output::say;
use crate::rehearsal::chaos::{Plan, What, shrink};
use crate::rehearsal::{self, Options, Stage};
use crate::timeline::Timeline;
use crate::verdict::Report;

/// Requests per second, where nothing else is asked for.
const RATE: u32 = 60;
/// New things happen in a world for up to this long.
const LONGEST: Duration = Duration::from_secs(180);
/// The agents have read what they need by then.
const GROWN_UP: Duration = Duration::from_secs(20);
/// A plan that fails is played again at most so often to make it shorter.
const PLAYS: usize = 300;

/// What happened in one world, or in all of them, one upon the other.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Tally {
    /// In the worlds.
    seconds: u64,
    requests: u64,
    lost: u64,
    /// Instances that were not where they belong in the end, or broke an invariant.
    stranded: usize,
    deployments: usize,
    notices: usize,
    kills: usize,
    troubles: usize,
}

/// What became of one world.
#[derive(Debug, Serialize)]
struct Episode {
    seed: u64,
    passed: bool,
    #[serde(flatten)]
    tally: Tally,
    broken: Vec<String>,
    /// How many worlds had ended before it.
    ended_before: u64,
    /// Of this process, after it.
    rss_kib: u64,
    /// Only of real agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    agents: Option<Resident>,
}

/// The resident set of the largest agent of a world.
#[derive(Clone, Copy, Debug, Serialize)]
struct Resident {
    /// When it had been up for [`GROWN_UP`], or sooner in a shorter world.
    early_kib: u64,
    /// At the end.
    late_kib: u64,
}

/// All of them together.
#[derive(Debug, Serialize)]
struct Figures {
    passed: bool,
    simulated: bool,
    first_seed: u64,
    worlds: usize,
    #[serde(flatten)]
    tally: Tally,
    /// Of this process, after each tenth of the worlds.
    rss_kib: Vec<u64>,
    /// Of the agents of each real world, in the order in which those were played.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    agents: Vec<Resident>,
    failures: Vec<Episode>,
}

pub(super) fn run(args: &RehearseArgs, seconds: u64, in_process: &InProcess) -> anyhow::Result<bool> {
    let seed = args.seed.unwrap_or(1);
    let mut base = args.options(seed)?;
    base.rate = args.rate.unwrap_or(RATE);
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut episodes = if args.simulated {
        simulated(args, &base, seed, deadline, in_process)?
    } else {
        real(args, &base, seed, deadline)?
    };
    episodes.sort_by_key(|episode| episode.seed);
    let figures = Figures::of(args.simulated, seed, episodes);
    if let (Some(failure), true) = (figures.failures.first(), args.simulated) {
        tell_shortest(&base, failure.seed, in_process)?;
    }
    if args.json {
        say(serde_json::to_string_pretty(&figures).context("writing the figures")?);
    } else {
        print(&figures);
    }
    Ok(figures.passed)
}

/// How long new things happen in the world of this seed.
fn span(seed: u64) -> Duration {
    Duration::from_secs(fastrand::Rng::with_seed(seed).u64(30..LONGEST.as_secs()))
}

fn simulated(
    args: &RehearseArgs,
    base: &Options,
    first: u64,
    deadline: Instant,
    in_process: &InProcess,
) -> anyhow::Result<Vec<Episode>> {
    let (next, ended) = (AtomicU64::new(0), AtomicU64::new(0));
    let failed = AtomicBool::new(false);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let work = || -> anyhow::Result<Vec<Episode>> {
        let mut episodes = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let over = place > 0 && Instant::now() >= deadline;
            if over || failed.load(Ordering::Relaxed) {
                return Ok(episodes);
            }
            let seed = first.wrapping_add(place);
            let options = Plan::draw(base, seed, span(seed));
            let report = play(&options, Timeline::default(), in_process).with_context(|| format!("seed {seed}"))?;
            let episode = Episode::of(&options, &report, ended.fetch_add(1, Ordering::Relaxed), None);
            if !args.json {
                say(episode.line());
            }
            failed.fetch_or(!episode.passed, Ordering::Relaxed);
            episodes.push(episode);
        }
    };
    let outcomes: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().map_err(|_| anyhow!("a rehearsal panicked"))).collect()
    });
    let mut episodes = Vec::new();
    for outcome in outcomes {
        episodes.extend(outcome??);
    }
    Ok(episodes)
}

fn real(args: &RehearseArgs, base: &Options, first: u64, deadline: Instant) -> anyhow::Result<Vec<Episode>> {
    runtime()?.block_on(async {
        let mut episodes = Vec::new();
        for place in 0_u64.. {
            let left = deadline.saturating_duration_since(Instant::now());
            if place > 0 && left.is_zero() {
                break;
            }
            let seed = first.wrapping_add(place);
            let options = Plan::draw(base, seed, span(seed).min(left.max(Duration::from_secs(5))));
            let mut stage = Stage::real(&options, Timeline::default()).await?;
            let program = std::env::current_exe().context("finding this executable")?;
            let crew = Arc::new(ProcessCrew::new(Arc::clone(&stage.world), program)?);
            let agents = Arc::clone(&crew);
            let (began, mut resident) = (Instant::now(), None);
            let watch = async {
                loop {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    if let Some(kib) = agents.agent_pids().await.into_iter().filter_map(resident_kib).max() {
                        let Resident { early_kib, .. } = resident.unwrap_or(Resident { early_kib: kib, late_kib: kib });
                        let early_kib = if began.elapsed() < GROWN_UP { kib } else { early_kib };
                        resident = Some(Resident { early_kib, late_kib: kib });
                    }
                }
            };
            let report = tokio::select! {
                biased;
                report = rehearsal::run(&options, &stage, crew, None) => report?,
                () = watch => anyhow::bail!("the watch over the agents ended"),
                interrupted = interruption() => {
                    interrupted?;
                    anyhow::bail!("interrupted: agents and applications were ended");
                }
            };
            let episode = Episode::of(&options, &report, place, resident);
            if !args.json {
                say(episode.line());
            }
            let passed = episode.passed;
            episodes.push(episode);
            if !passed {
                stage.keep_home();
                tell(&options, &report);
                if let Some(home) = stage.home() {
                    eprintln!("logs of agents and applications: {}", home.display());
                }
                break;
            }
        }
        Ok(episodes)
    })
}

/// What was drawn, and what happened.
fn tell(options: &Options, report: &Report) {
    for turn in options.chaos.iter().flat_map(|plan| &plan.turns) {
        eprintln!("  {turn}");
    }
    for broken in broken(report) {
        eprintln!("  {broken}");
    }
}

/// Plays the seed that failed again and again, each time with less, and tells the shortest plan that still fails.
fn tell_shortest(base: &Options, seed: u64, in_process: &InProcess) -> anyhow::Result<()> {
    let drawn = Plan::draw(base, seed, span(seed));
    let Some(plan) = &drawn.chaos else { return Ok(()) };
    let replay =
        |plan: &Plan| play(&Options { chaos: Some(plan.clone()), ..drawn.clone() }, Timeline::default(), in_process);
    eprintln!("seed {seed} failed; looking for the shortest timeline that still fails");
    let shortest = shrink(plan, PLAYS, |plan| replay(plan).is_ok_and(|report| !report.passed));
    let report = replay(&shortest)?;
    let (of, left) = (plan.turns.len(), shortest.turns.len());
    eprintln!("{left} of its {of} happenings are enough:");
    tell(&Options { chaos: Some(shortest), ..drawn.clone() }, &report);
    eprintln!("what happened:");
    for entry in &report.timeline {
        let instance = entry.instance.map_or(String::new(), |number| format!("instance {number}"));
        eprintln!("{:>9.2}  {instance:<11}  {}", entry.at.as_secs_f64(), entry.what);
    }
    Ok(())
}

impl Episode {
    fn of(options: &Options, report: &Report, ended_before: u64, agents: Option<Resident>) -> Self {
        let broken = broken(report);
        let count = |is: fn(&What) -> bool| options.chaos.as_ref().map_or(0, |plan| plan.count(is));
        Self {
            seed: report.seed,
            passed: report.passed,
            tally: Tally {
                seconds: report.timeline.last().map_or(0, |entry| entry.at.as_secs()),
                requests: report.load.sent,
                lost: report.load.lost,
                stranded: broken.len(),
                deployments: report.deployments.len(),
                notices: report.notices.len(),
                kills: count(|what| matches!(what, What::Kill { .. })),
                troubles: count(|what| matches!(what, What::Fault { .. } | What::Metadata { .. })),
            },
            broken,
            ended_before,
            rss_kib: resident_kib(std::process::id()).unwrap_or_default(),
            agents,
        }
    }

    fn line(&self) -> String {
        let Tally { deployments, notices, kills, troubles, requests, lost, seconds, .. } = self.tally;
        let (seed, how) = (self.seed, if self.passed { "ok    " } else { "FAILED" });
        let agents = self.agents.map_or(String::new(), |Resident { early_kib, late_kib }| {
            format!("  agents {early_kib} to {late_kib} KiB")
        });
        format!(
            "seed {seed:<6} {how} {seconds:>4} s  {deployments:>2} deployments  {notices} notices  {kills} kills  \
             {troubles} troubles  {requests:>6} requests  {lost} lost{agents}"
        )
    }
}

impl Figures {
    fn of(simulated: bool, first_seed: u64, episodes: Vec<Episode>) -> Self {
        let mut ended: Vec<_> = episodes.iter().map(|episode| (episode.ended_before, episode.rss_kib)).collect();
        ended.sort_unstable();
        let tenths = (1..=10).filter_map(|tenth| ended.get((ended.len() * tenth / 10).checked_sub(1)?));
        Self {
            passed: episodes.iter().all(|episode| episode.passed),
            simulated,
            first_seed,
            worlds: episodes.len(),
            tally: episodes.iter().map(|episode| episode.tally).sum(),
            rss_kib: tenths.map(|(_, kib)| *kib).collect(),
            agents: episodes.iter().filter_map(|episode| episode.agents).collect(),
            failures: episodes.into_iter().filter(|episode| !episode.passed).collect(),
        }
    }
}

impl Sum for Tally {
    fn sum<Tallies: Iterator<Item = Self>>(tallies: Tallies) -> Self {
        tallies.fold(Self::default(), |all, one| Self {
            seconds: all.seconds + one.seconds,
            requests: all.requests + one.requests,
            lost: all.lost + one.lost,
            stranded: all.stranded + one.stranded,
            deployments: all.deployments + one.deployments,
            notices: all.notices + one.notices,
            kills: all.kills + one.kills,
            troubles: all.troubles + one.troubles,
        })
    }
}

fn print(figures: &Figures) {
    let Tally { seconds, requests, lost, stranded, deployments, notices, kills, troubles } = figures.tally;
    let worlds = figures.worlds;
    for failure in &figures.failures {
        say(format_args!("seed {}: lost {} of {}", failure.seed, failure.tally.lost, failure.tally.requests));
        for broken in &failure.broken {
            say(format_args!("  {broken}"));
        }
        let how = if figures.simulated { "--simulated " } else { "" };
        say(format_args!("  play it again: pitcrew rehearse {how}--chaos 1 --seed {}", failure.seed));
    }
    say(format_args!(
        "{worlds} worlds, {} h {} min in them: {deployments} deployments, {notices} notices, {kills} kills of an \
              agent, {troubles} troubles of AWS and metadata services",
        seconds / 3600,
        seconds / 60 % 60
    ));
    say(format_args!("{requests} requests, {lost} lost; {stranded} stranded"));
    let tenths: Vec<_> = figures.rss_kib.iter().map(u64::to_string).collect();
    say(format_args!("memory of this process after each tenth of the worlds: {} KiB", tenths.join(", ")));
    let most = |of: fn(&Resident) -> u64| figures.agents.iter().map(of).max();
    if let (Some(early), Some(late)) = (most(|agents| agents.early_kib), most(|agents| agents.late_kib)) {
        say(format_args!(
            "memory of the largest agent: {early} KiB within {} s of its world's beginning, {late} KiB at a world's end",
            GROWN_UP.as_secs()
        ));
    }
}

/// The resident set of a process.
fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
