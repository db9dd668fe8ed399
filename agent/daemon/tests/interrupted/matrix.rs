//! Every position in a deployment, and none, against every way of Spot and two budgets.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use pitcrew_rehearsal::interruption::{Action, Moment};
use pitcrew_rehearsal::lifecycle::LifecycleEvent;
use pitcrew_rehearsal::rehearsal::{Options, Owner};
use pitcrew_rehearsal::timeline::Happening;
use pitcrew_rehearsal::verdict::{Judgement, Report};

use crate::support::{idle, options, rehearse};

const ACTIONS: [Action; 3] = [Action::Terminate, Action::Stop, Action::Hibernate];
/// The default, and one that is short.
const NOTICES: [u64; 2] = [120, 20];

/// Who moves traffic, and when the notice comes.
type Row = (Owner, Moment);
type Cell = (usize, Action, u64);
type Results = BTreeMap<Cell, Vec<Run>>;

/// One seed in one cell.
struct Run {
    seed: u64,
    /// What went wrong, in words.
    wrong: Vec<String>,
    /// It went in traffic, and the end came so soon after CodeDeploy had put the instance back that nobody could have
    /// taken it out in time.
    hopeless: bool,
}

/// The agent looks every five seconds, the data plane hears up to three later, and what is in flight ends in two.
const ENOUGH: Duration = Duration::from_secs(10);

/// The thirteen events between Start and End where CodeDeploy moves traffic, then all nine where Pitcrew does, then
/// none.
fn rows() -> Vec<Row> {
    let events = |owner: Owner| {
        let order = LifecycleEvent::order(owner == Owner::CodeDeploy).iter();
        order.map(move |event| (owner, Moment::During(*event)))
    };
    let between = |row: &Row| !matches!(row.1, Moment::During(LifecycleEvent::Start | LifecycleEvent::End));
    events(Owner::CodeDeploy).filter(between).chain(events(Owner::Pitcrew)).chain([(Owner::Pitcrew, idle(5))]).collect()
}

fn cells(rows: &[Row]) -> Vec<Cell> {
    let every = |row| ACTIONS.into_iter().flat_map(move |action| NOTICES.map(move |notice| (row, action, notice)));
    (0..rows.len()).flat_map(every).collect()
}

/// Plays one cell with one seed.
fn play(options: &Options) -> Run {
    let (report, timeline) = rehearse(options);
    let hopeless = is_hopeless(&report);
    let broken = report.findings.iter().filter(|finding| finding.judgement == Judgement::Broken);
    let broken = broken.filter(|finding| !(hopeless && finding.expectation.starts_with("out of every balancer")));
    let mut wrong: Vec<_> = broken.map(|finding| format!("{}: {}", finding.expectation, finding.why)).collect();
    if (report.load.lost > 0 && !hopeless) || report.load.sent < 100 {
        wrong.push(format!("lost {} of {}: {:#?}", report.load.lost, report.load.sent, report.reasons));
    }
    match report.notices.as_slice() {
        [notice] if notice.read_ms.is_some() && notice.notice.taken_away.is_some() => {}
        notices => wrong.push(format!("one notice, read, and then the end: {notices:#?}")),
    }
    if !wrong.is_empty() {
        wrong.push(timeline);
    }
    Run { seed: options.seed, wrong, hopeless }
}

fn is_hopeless(report: &Report) -> bool {
    let put_back = report.timeline.iter().rfind(|entry| {
        entry.instance == Some(1) && matches!(&entry.what, Happening::TargetRegistered { by, .. } if by == "CodeDeploy")
    });
    let notice = report.notices.first().map(|notice| &notice.notice);
    let gone = notice.filter(|notice| !notice.left_behind.is_empty()).and_then(|notice| notice.taken_away);
    put_back.zip(gone).is_some_and(|(put_back, gone)| gone.saturating_sub(put_back.at) < ENOUGH)
}

/// Plays the whole matrix with these seeds, on every core, prints it, and fails with what went wrong first.
fn play_matrix(seeds: std::ops::RangeInclusive<u64>) {
    let rows = rows();
    let cells = cells(&rows);
    let next = AtomicUsize::new(0);
    let results: Mutex<Results> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (row, action, notice) = *cell;
                    let (owner, at) = rows[row];
                    for seed in seeds.clone() {
                        let run = play(&Options { owner, ..options(seed, at, action, notice) });
                        results.lock().unwrap().entry(*cell).or_default().push(run);
                    }
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    println!("{}", table(&rows, &results));
    let hopeless = results.values().flatten().filter(|run| run.hopeless).count();
    let all: usize = results.values().map(Vec::len).sum();
    assert!(hopeless * 100 <= all, "{hopeless} of {all} runs are excused");
    assert_eq!(results.len(), rows.len() * ACTIONS.len() * NOTICES.len());
    let runs = || results.iter().flat_map(|(cell, runs)| runs.iter().map(move |run| (cell, run)));
    let failed = runs().filter(|(_, run)| !run.wrong.is_empty()).count();
    if let Some(((row, action, notice), Run { seed, wrong, .. })) = runs().find(|(_, run)| !run.wrong.is_empty()) {
        panic!("{failed} runs failed; {:?}, {action}, {notice} s, seed {seed}:\n{}", rows[*row], wrong.join("\n"));
    }
}

/// One line a position, one column an action and a budget: how many runs were well, and how many of them are excused
/// because the end came right after CodeDeploy had put the instance back.
fn table(rows: &[Row], results: &Results) -> String {
    let mut text = format!("{:<12}{:<20}", "owner", "notice at");
    for action in ACTIONS {
        for notice in NOTICES {
            let _ = write!(text, "{:>23}", format!("{action} {notice} s"));
        }
    }
    for (place, (owner, at)) in rows.iter().enumerate() {
        let at = match at {
            Moment::During(event) => event.to_string(),
            Moment::Idle(_) => "idle".to_owned(),
        };
        let _ = write!(text, "\n{:<12}{at:<20}", format!("{owner:?}").to_lowercase());
        for action in ACTIONS {
            for notice in NOTICES {
                let runs = results.get(&(place, action, notice)).map(Vec::as_slice).unwrap_or_default();
                let well = runs.iter().filter(|run| run.wrong.is_empty()).count();
                let hopeless = runs.iter().filter(|run| run.hopeless).count();
                let aside = if hopeless > 0 { format!(" ({hopeless} excused)") } else { String::new() };
                let _ = write!(text, "{:>23}", format!("{well} of {}{aside}", runs.len()));
            }
        }
    }
    text
}

#[test]
fn wherever_a_notice_meets_a_deployment_nothing_is_lost_and_nothing_waits() {
    play_matrix(1..=1);
}

#[test]
#[ignore = "takes minutes: many seeds of what the test above plays once"]
fn wherever_a_notice_meets_a_deployment_many_times() {
    play_matrix(100..=119);
}
