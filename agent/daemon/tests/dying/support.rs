//! One death under virtual time, and what is said when it goes wrong.

use std::time::Duration;

use pitcrew::simulated::crew;
use pitcrew_rehearsal::bundle::Bundle;
use pitcrew_rehearsal::cli::play;
use pitcrew_rehearsal::death::{Cause, Death, Generation};
use pitcrew_rehearsal::lifecycle::LifecycleEvent;
use pitcrew_rehearsal::rehearsal::{Options, Owner};
use pitcrew_rehearsal::timeline::Timeline;
use pitcrew_rehearsal::verdict::{Judgement, Report};

/// One instance that is deployed to and one that is not, a little load.
pub(crate) fn options((owner, seed): (Owner, u64), at: LifecycleEvent, of: Cause, host_agent: Generation) -> Options {
    let mut options = Options::of(Bundle::sample().unwrap());
    (options.owner, options.seed, options.rate, options.requests) = (owner, seed, 10, 0);
    options.deregistration_delay = Duration::from_secs(20);
    (options.death, options.host_agent) = (Some(Death { at, of }), host_agent);
    options
}

/// Plays `options`; returns the report, and what went wrong, in words.
pub(crate) fn rehearse(options: &Options) -> (Report, Option<String>) {
    let timeline = Timeline::default();
    let report = play(options, timeline.clone(), &crew).unwrap();
    if report.passed && report.load.sent > 100 {
        return (report, None);
    }
    let broken = report.findings.iter().filter(|finding| finding.judgement == Judgement::Broken);
    let broken: Vec<_> = broken.map(|finding| format!("{}: {}", finding.expectation, finding.why)).collect();
    let lines = timeline.entries();
    let lines =
        lines.iter().map(|entry| format!("{:9.3} {:?} {}\n", entry.at.as_secs_f64(), entry.instance, entry.what));
    let (seed, lost, sent) = (options.seed, report.load.lost, report.load.sent);
    let wrong = format!(
        "{:?}, owner {:?}, host agent {:?}, seed {seed}: {broken:#?}, lost {lost} of {sent}: {:#?}\n{}",
        options.death,
        options.owner,
        options.host_agent,
        report.reasons,
        lines.collect::<String>()
    );
    (report, Some(wrong))
}

/// Every event of a deployment, in order: more where CodeDeploy moves traffic.
pub(crate) fn events(owner: Owner) -> &'static [LifecycleEvent] {
    LifecycleEvent::order(owner == Owner::CodeDeploy)
}

/// Whether a deployment can die so: only a script can time out.
pub(crate) fn is_played(at: LifecycleEvent, of: Cause) -> bool {
    of != Cause::Timeout || at.is_scriptable()
}
