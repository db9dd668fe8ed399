//! Interruptions under virtual time, and what is said when one goes wrong.

use std::time::Duration;

use pitcrew::simulated::crew;
use pitcrew_rehearsal::bundle::Bundle;
use pitcrew_rehearsal::cli::play;
use pitcrew_rehearsal::interruption::{Action, Interruption, Moment};
use pitcrew_rehearsal::rehearsal::Options;
use pitcrew_rehearsal::timeline::Timeline;
use pitcrew_rehearsal::verdict::{Judgement, NoticeReport, Report};

/// Two instances that are deployed to and one that is not, a little load, and a drain that ends soon in the balancer,
/// too. The first is told `action`, `notice` seconds ahead.
pub(crate) fn options(seed: u64, at: Moment, action: Action, notice: u64) -> Options {
    let mut options = Options::of(Bundle::sample().unwrap());
    (options.seed, options.instances, options.rate, options.requests) = (seed, 2, 10, 0);
    options.deregistration_delay = Duration::from_secs(20);
    let notice = Duration::from_secs(notice);
    options.interruption = Some(Interruption { at, action, notice, withdrawn_after: None });
    options
}

/// So long after the load has started, with nothing deployed.
pub(crate) fn idle(seconds: u64) -> Moment {
    Moment::Idle(Duration::from_secs(seconds))
}

/// Plays `options`; returns the report and the timeline in words.
pub(crate) fn rehearse(options: &Options) -> (Report, String) {
    let timeline = Timeline::default();
    let report = play(options, timeline.clone(), &crew).unwrap();
    let lines = timeline.entries();
    let lines =
        lines.iter().map(|entry| format!("{:9.3} {:?} {}\n", entry.at.as_secs_f64(), entry.instance, entry.what));
    (report, lines.collect())
}

/// Plays `options`, which must pass.
pub(crate) fn passes(options: &Options) -> Report {
    let (report, timeline) = rehearse(options);
    let broken = report.findings.iter().filter(|finding| finding.judgement == Judgement::Broken);
    let broken: Vec<_> = broken.map(|finding| format!("{}: {}", finding.expectation, finding.why)).collect();
    let (seed, lost, reasons) = (options.seed, report.load.lost, &report.reasons);
    assert!(report.passed, "seed {seed}: {broken:#?}, {lost} lost, {reasons:#?}\n{timeline}");
    assert!(report.load.sent > 100, "seed {seed}: {} requests show nothing", report.load.sent);
    report
}

/// The one notice of a report.
pub(crate) fn notice(report: &Report) -> &NoticeReport {
    assert_eq!(report.notices.len(), 1);
    &report.notices[0]
}

/// What was found about an expectation.
pub(crate) fn found(report: &Report, expectation: &str) -> (Judgement, String) {
    let finding = report.findings.iter().find(|finding| finding.expectation.contains(expectation)).unwrap();
    (finding.judgement, finding.why.clone())
}
