//! Every position in a deployment, and none, against every way of Spot, two budgets and both answers before the stop.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use pitcrew_rehearsal::interruption::{Action, Moment};
use pitcrew_rehearsal::lifecycle::LifecycleEvent;
use pitcrew_rehearsal::rehearsal::{Options, Owner};
use pitcrew_rehearsal::timeline::Happening;
use pitcrew_rehearsal::verdict::{Judgement, Report};

use crate::every_core::play_all;
use crate::support::{idle, options, rehearse};

/// What the hook before the stop does, the way of Spot, and the seconds of its notice.
type Column = (BeforeStop, Action, u64);
/// Who moves traffic, and when the notice comes.
type Row = (Owner, Moment);
type Cell = (usize, usize);
type Results = BTreeMap<Cell, Vec<Run>>;

/// `deployment.before_stop`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BeforeStop {
    Drain,
    Answer,
}

/// One seed in one cell.
struct Run {
    seed: u64,
    /// What went wrong, in words.
    wrong: Vec<String>,
    lost: u64,
    /// The longest waits of each event's hooks, of those that were open or called after the notice.
    waits: BTreeMap<LifecycleEvent, Wait>,
    /// CodeDeploy had just put the instance back when it went, so that nobody could have taken it out in time.
    hopeless: bool,
}

/// How long a hook of an instance that leaves waited, from the notice or else from its call.
#[derive(Clone, Copy, Default)]
struct Wait {
    /// Until it said what the answer is.
    answered: Duration,
    /// Until it ended, and CodeDeploy went on.
    ended: Duration,
}

/// The agent looks every second, and its call takes a moment.
const HOPELESS: Duration = Duration::from_millis(1_300);
/// What "at once" means for the answer to a hook.
const AT_ONCE: Duration = Duration::from_secs(1);

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

fn columns(both_answers_with: &[u64]) -> Vec<Column> {
    let all = |before_stop, notices: &[u64]| {
        let notices = notices.to_vec();
        let actions = [Action::Terminate, Action::Stop, Action::Hibernate];
        actions
            .into_iter()
            .flat_map(move |action| notices.clone().into_iter().map(move |notice| (before_stop, action, notice)))
    };
    // The default budget, and one that is short.
    all(BeforeStop::Drain, &[120, 20]).chain(all(BeforeStop::Answer, both_answers_with)).collect()
}

/// Plays one cell with one seed.
fn play((owner, at): Row, (before_stop, action, notice): Column, seed: u64) -> Run {
    let settings = match before_stop {
        BeforeStop::Drain => String::new(),
        BeforeStop::Answer => "deployment.before_stop = \"answer\"".to_owned(),
    };
    let options = Options { owner, settings, ..options(seed, at, action, notice) };
    let (report, timeline) = rehearse(&options);
    let hopeless = is_hopeless(&report);
    let broken = report.findings.iter().filter(|finding| finding.judgement == Judgement::Broken);
    let broken = broken.filter(|finding| !(hopeless && finding.expectation.starts_with("out of every balancer")));
    let mut wrong: Vec<_> = broken.map(|finding| format!("{}: {}", finding.expectation, finding.why)).collect();
    let waits = waits(&report);
    for (event, wait) in &waits {
        if wait.answered > AT_ONCE {
            wrong.push(format!("the hook of {event} was answered after {:.1} s", wait.answered.as_secs_f64()));
        }
        let may_drain = before_stop == BeforeStop::Drain && stops_next(*event);
        if wait.ended > AT_ONCE && !may_drain {
            wrong.push(format!("the hook of {event} ended after {:.1} s", wait.ended.as_secs_f64()));
        }
    }
    // Answered at once, CodeDeploy stops an application that still has requests.
    let may_lose = hopeless || before_stop == BeforeStop::Answer && waits.keys().any(|event| stops_next(*event));
    if (report.load.lost > 0 && !may_lose) || report.load.sent < 100 {
        wrong.push(format!("lost {} of {}: {:#?}", report.load.lost, report.load.sent, report.reasons));
    }
    match report.notices.as_slice() {
        [notice] if notice.read_ms.is_some() && notice.notice.taken_away.is_some() => {}
        notices => wrong.push(format!("one notice, read, and then the end: {notices:#?}")),
    }
    if !wrong.is_empty() {
        wrong.push(timeline);
    }
    Run { seed, wrong, lost: report.load.lost, waits, hopeless }
}

fn stops_next(event: LifecycleEvent) -> bool {
    matches!(event, LifecycleEvent::ApplicationStop | LifecycleEvent::BeforeInstall)
}

/// How long the hooks of the instance that leaves waited, from the notice on.
fn waits(report: &Report) -> BTreeMap<LifecycleEvent, Wait> {
    let mut waits: BTreeMap<LifecycleEvent, Wait> = BTreeMap::new();
    let Some(read) = report.notices.first().and_then(|notice| notice.notice.read) else { return waits };
    for entry in report.timeline.iter().filter(|entry| entry.instance == Some(1) && entry.at >= read) {
        let (Happening::ScriptEnded(end) | Happening::ScriptCut(end)) = &entry.what else { continue };
        if end.shim {
            let began = entry.at.saturating_sub(end.took);
            let asked = began.max(read);
            let answered = (began + end.settled.unwrap_or(end.took)).saturating_sub(asked);
            let longest = waits.entry(end.event).or_default();
            longest.answered = longest.answered.max(answered);
            longest.ended = longest.ended.max(entry.at - asked);
        }
    }
    waits
}

fn is_hopeless(report: &Report) -> bool {
    let put_back = report.timeline.iter().rfind(|entry| {
        entry.instance == Some(1) && matches!(&entry.what, Happening::TargetRegistered { by, .. } if by == "CodeDeploy")
    });
    let notice = report.notices.first().map(|notice| &notice.notice);
    let gone = notice.filter(|notice| !notice.left_behind.is_empty()).and_then(|notice| notice.taken_away);
    put_back.zip(gone).is_some_and(|(put_back, gone)| gone.saturating_sub(put_back.at) < HOPELESS)
}

/// Plays the whole matrix with these seeds, on every core, prints it, and fails with what went wrong first.
fn play_matrix(seeds: std::ops::RangeInclusive<u64>, both_answers_with: &[u64]) {
    let (rows, columns) = (rows(), columns(both_answers_with));
    let cells: Vec<Cell> =
        (0..rows.len()).flat_map(|row| (0..columns.len()).map(move |column| (row, column))).collect();
    let results: Results = play_all(&cells, seeds, |(row, column), seed| play(rows[row], columns[column], seed));
    println!("{}", table(&rows, &columns, &results));
    assert_eq!(results.len(), cells.len());
    let runs = || results.iter().flat_map(|(cell, runs)| runs.iter().map(move |run| (cell, run)));
    let hopeless = runs().filter(|(_, run)| run.hopeless).count();
    assert!(hopeless * 1000 <= runs().count(), "{hopeless} of {} runs are excused", runs().count());
    let failed = runs().filter(|(_, run)| !run.wrong.is_empty()).count();
    if let Some(((row, column), Run { seed, wrong, .. })) = runs().find(|(_, run)| !run.wrong.is_empty()) {
        panic!("{failed} runs failed; {:?}, {:?}, seed {seed}:\n{}", rows[*row], columns[*column], wrong.join("\n"));
    }
}

/// One line a position, one column a setting, an action and a budget: how many runs were well, the longest that a hook
/// waited for its answer, and the requests lost; at the end the hooks that ended later than that, with the drain, since
/// they stand before a stop.
fn table(rows: &[Row], columns: &[Column], results: &Results) -> String {
    let mut text = format!("{:<12}{:<20}", "owner", "notice at");
    for (before_stop, action, notice) in columns {
        let _ = write!(text, "{:>21}", format!("{before_stop:?} {action} {notice}"));
    }
    for (row, (owner, at)) in rows.iter().enumerate() {
        let at = match at {
            Moment::During(event) => event.to_string(),
            Moment::Idle(_) => "idle".to_owned(),
        };
        let _ = write!(text, "\n{:<12}{at:<20}", format!("{owner:?}").to_lowercase());
        let mut drained = BTreeMap::new();
        for column in 0..columns.len() {
            let runs = results.get(&(row, column)).map(Vec::as_slice).unwrap_or_default();
            let _ = write!(text, "{:>21}", cell(runs));
            let waits = runs.iter().flat_map(|run| &run.waits).filter(|(_, wait)| wait.ended > AT_ONCE);
            for (event, wait) in waits {
                let longest: &mut Duration = drained.entry(*event).or_default();
                *longest = wait.ended.max(*longest);
            }
        }
        let drained = drained.iter().map(|(event, ended)| format!("{event} ended within {:.1} s", ended.as_secs_f64()));
        let _ = write!(text, "   {}", drained.collect::<Vec<_>>().join(", "));
    }
    text
}

fn cell(runs: &[Run]) -> String {
    let well = runs.iter().filter(|run| run.wrong.is_empty()).count();
    let mut text = format!("{well}/{}", runs.len());
    if let Some(longest) = runs.iter().flat_map(|run| run.waits.values()).map(|wait| wait.answered).max() {
        let _ = write!(text, " {:.2} s", longest.as_secs_f64());
    }
    let lost: u64 = runs.iter().map(|run| run.lost).sum();
    if lost > 0 {
        let _ = write!(text, " lost {lost}");
    }
    let hopeless = runs.iter().filter(|run| run.hopeless).count();
    if hopeless > 0 {
        let _ = write!(text, " ({hopeless} !)");
    }
    text
}

#[test]
fn wherever_a_notice_meets_a_deployment_nothing_is_lost_and_hooks_are_answered_at_once() {
    play_matrix(1..=1, &[20]);
}

#[test]
#[ignore = "takes minutes: many seeds of what the test above plays once"]
fn wherever_a_notice_meets_a_deployment_many_times() {
    play_matrix(100..=119, &[120, 20]);
}
