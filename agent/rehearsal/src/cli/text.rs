//! The text that a rehearsal prints: a live timeline, a progress line, and the summary.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::load::Progress;
use crate::output::{say, show};
use crate::timeline::{Entry, Happening};
use crate::verdict::{Absence, Judgement, NoticeReport, Report};
use crate::world::elastigroup::RouteLoad;

/// Standard output during a rehearsal.
pub(super) struct Screen {
    quiet: bool,
    terminal: bool,
    /// Whether the last line is a progress line.
    progress: AtomicBool,
}

const CLEAR_LINE: &str = "\r\x1b[2K";

impl Screen {
    /// `quiet` prints nothing.
    pub(super) fn new(quiet: bool, terminal: bool) -> Self {
        Self { quiet, terminal, progress: AtomicBool::new(false) }
    }

    pub(super) fn colour(&self) -> bool {
        self.terminal && std::env::var_os("NO_COLOR").is_none()
    }

    pub(super) fn entry(&self, entry: &Entry) {
        if self.quiet {
            return;
        }
        self.clear_progress();
        say(line(entry, self.colour()));
    }

    pub(super) fn progress(&self, at: Duration, progress: Progress) {
        if self.quiet || !self.terminal {
            return;
        }
        let Progress { sent, ok, lost } = progress;
        show(format_args!("{CLEAR_LINE}{:7.2}  {sent} sent, {ok} answered, {lost} lost", at.as_secs_f64()));
        // A terminal that has gone away shows nothing anyway.
        let _ = std::io::stdout().flush();
        self.progress.store(true, Ordering::Relaxed);
    }

    pub(super) fn clear_progress(&self) {
        if self.progress.swap(false, Ordering::Relaxed) {
            show(CLEAR_LINE);
        }
    }
}

/// One line of the timeline: seconds since the start, instance, what happened.
pub(super) fn line(entry: &Entry, colour: bool) -> String {
    let instance = match entry.instance {
        Some(number) => format!("instance {number}"),
        None => String::new(),
    };
    let text = format!("{:7.2}  {instance:<11}  {}", entry.at.as_secs_f64(), entry.what);
    match (colour, tone(&entry.what)) {
        (true, Some(tone)) => tone.paint(&text),
        (true, None) | (false, _) => text,
    }
}

#[derive(Clone, Copy)]
enum Tone {
    Good,
    Bad,
    Odd,
}

impl Tone {
    fn paint(self, text: &str) -> String {
        let code = match self {
            Self::Good => 32,
            Self::Bad => 31,
            Self::Odd => 33,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

fn tone(what: &Happening) -> Option<Tone> {
    match what {
        Happening::TargetHealthy { .. } | Happening::DeploymentSucceeded { .. } => Some(Tone::Good),
        Happening::RequestLost { .. }
        | Happening::EventFailed { .. }
        | Happening::DeploymentFailed { .. }
        | Happening::AgentFailed { .. }
        | Happening::TargetUnhealthy { .. } => Some(Tone::Bad),
        Happening::ApplicationStopped { in_traffic } if !in_traffic.is_empty() => Some(Tone::Bad),
        Happening::AgentKilled { .. }
        | Happening::CallFailed { .. }
        | Happening::NoticeGiven { .. }
        | Happening::NoticeWithdrawn
        | Happening::TakenAway
        | Happening::DeploymentStopped { .. }
        | Happening::HostAgentKilled
        | Happening::HostAgentStarted
        | Happening::Rebooting
        | Happening::Booted
        | Happening::MetadataInTrouble { .. }
        | Happening::Noted { .. } => Some(Tone::Odd),
        Happening::WorldUp { .. }
        | Happening::LoadStarted { .. }
        | Happening::LoadEnded { .. }
        | Happening::NoticeRead { .. }
        | Happening::DrainScriptRan { .. }
        | Happening::AgentStarted
        | Happening::AgentStopped
        | Happening::ApplicationStarted { .. }
        | Happening::ApplicationReady { .. }
        | Happening::ApplicationStopped { .. }
        | Happening::TargetRegistered { .. }
        | Happening::TargetDeregistered { .. }
        | Happening::DeploymentCreated { .. }
        | Happening::EventStarted { .. }
        | Happening::EventSkipped { .. }
        | Happening::ScriptEnded(_)
        | Happening::ScriptCut(_)
        | Happening::Installed { .. } => None,
    }
}

/// What stands below the timeline: requests, latencies, absences, findings, verdict.
pub(super) fn summary(report: &Report, colour: bool) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_summary(&mut text, report, colour);
    text
}

fn write_summary(text: &mut String, report: &Report, colour: bool) -> std::fmt::Result {
    let load = &report.load;
    writeln!(text)?;
    writeln!(text, "lost {} of {} requests", load.lost, load.sent)?;
    let latency = &load.latency;
    writeln!(
        text,
        "latency  p50 {:.1} ms   p90 {:.1} ms   p99 {:.1} ms   p99.9 {:.1} ms   max {:.1} ms",
        latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.p999_ms, latency.max_ms
    )?;
    for reason in &report.reasons {
        writeln!(text, "  {reason}")?;
    }
    writeln!(text)?;
    if report.absences.is_empty() {
        writeln!(text, "no instance left service")?;
    } else {
        writeln!(text, "out of service     total     drain   restart    return")?;
        for absence in &report.absences {
            writeln!(text, "{}", absence_line(absence))?;
        }
    }
    if !report.notices.is_empty() {
        writeln!(text)?;
        writeln!(text, "told to leave       read after   deregistered    gone after")?;
        for notice in &report.notices {
            writeln!(text, "{}", notice_line(notice))?;
        }
        let asked = report.metadata_requests_per_minute;
        writeln!(text, "  each agent asked its metadata service {asked:.0} times a minute")?;
    }
    if !report.elastigroup_routes.is_empty() {
        writeln!(text)?;
        writeln!(text, "asked of Elastigroup                                 requests    busiest minute    refused")?;
        for RouteLoad { route, requests, busiest_minute, refused } in &report.elastigroup_routes {
            writeln!(text, "  {route:<48}{requests:>11}{busiest_minute:>18}{refused:>11}")?;
        }
    }
    writeln!(text)?;
    for finding in &report.findings {
        let (word, tone) = match finding.judgement {
            Judgement::Held => ("ok", Some(Tone::Good)),
            Judgement::Broken => ("BROKEN", Some(Tone::Bad)),
            Judgement::NotApplicable => ("n/a", None),
        };
        let padded = format!("{word:<6}");
        let word = match tone {
            Some(tone) if colour => tone.paint(&padded),
            Some(_) | None => padded,
        };
        let number = finding.invariant.map(|number| format!("{number} ")).unwrap_or_default();
        writeln!(text, "{word}  {:<47}  {}", format!("{number}{}", finding.expectation), finding.why)?;
    }
    writeln!(text)?;
    let (verdict, tone) = if report.passed {
        ("all went well", Tone::Good)
    } else if load.lost > 0 {
        ("REQUESTS WERE LOST", Tone::Bad)
    } else {
        ("SOMETHING IS BROKEN", Tone::Bad)
    };
    let verdict = if colour { tone.paint(verdict) } else { verdict.to_owned() };
    writeln!(text, "{verdict} (seed {})", report.seed)
}

fn notice_line(report: &NoticeReport) -> String {
    let seconds = |milliseconds: Option<u64>| match milliseconds {
        Some(milliseconds) => format!("{}.{:03} s", milliseconds / 1000, milliseconds % 1000),
        None => "-".to_owned(),
    };
    let NoticeReport { notice, read_ms, deregister_ms } = report;
    let gone = match notice.taken_away {
        Some(gone) => format!("{:.1} s", gone.saturating_sub(notice.given).as_secs_f64()),
        None => "stays".to_owned(),
    };
    format!(
        "  instance {:<3} {:<9}{:>10}{:>14}{gone:>14}",
        notice.instance,
        notice.action.name(),
        seconds(*read_ms),
        seconds(*deregister_ms)
    )
}

fn absence_line(absence: &Absence) -> String {
    let seconds = |duration: Option<Duration>| match duration {
        Some(duration) => format!("{:.1} s", duration.as_secs_f64()),
        None => "-".to_owned(),
    };
    let total = match absence.total() {
        Some(total) => seconds(Some(total)),
        None => "for good".to_owned(),
    };
    format!(
        "  instance {:<3} {:>10}{:>10}{:>10}{:>10}",
        absence.instance,
        total,
        seconds(absence.drain),
        seconds(absence.restart),
        seconds(absence.back)
    )
}
