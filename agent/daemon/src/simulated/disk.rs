//! Disks that cannot be written for a while, in the middle of whatever goes on: nothing is lost, and nobody is stranded.

use std::sync::Arc;
use std::time::Duration;

use pitcrew_rehearsal::bundle::Bundle;
use pitcrew_rehearsal::cli::play;
use pitcrew_rehearsal::interruption::{Action, Interruption, Kill, Moment};
use pitcrew_rehearsal::lifecycle::LifecycleEvent;
use pitcrew_rehearsal::rehearsal::{Options, Stage};
use pitcrew_rehearsal::seat::Seat;
use pitcrew_rehearsal::timeline::Timeline;
use pitcrew_rehearsal::verdict::Report;
use tokio::time::Instant;

use super::between::Between;
use super::crew_with;
use crate::ledger::{Document, MemoryStore, Slot, Store, StoreError};
use crate::run::Doors;

/// Every disk of a world is read-only from one moment of it to another.
#[derive(Clone, Copy)]
struct ReadOnly {
    from: Instant,
    until: Instant,
}

impl Between for ReadOnly {
    fn doors(&self, _: &Seat, doors: Doors) -> Doors {
        Doors { store: Box::new(Disk { read_only: *self, store: doors.store }), ..doors }
    }
}

struct Disk {
    read_only: ReadOnly,
    store: Box<dyn Store>,
}

impl Store for Disk {
    fn load(&mut self) -> Result<Vec<Document>, StoreError> {
        self.store.load()
    }

    fn save(&mut self, document: &[u8]) -> Result<(), StoreError> {
        let ReadOnly { from, until } = self.read_only;
        if (from..until).contains(&Instant::now()) {
            let refusing = MemoryStore::default();
            refusing.fail_saves(true);
            return refusing.clone().save(document);
        }
        self.store.save(document)
    }

    fn set_aside(&mut self, slot: Slot) -> Result<String, StoreError> {
        self.store.set_aside(slot)
    }
}

fn options(seed: u64) -> Options {
    let options = Options::of(Bundle::sample().unwrap());
    Options { seed, rate: 20, requests: 0, deregistration_delay: Duration::from_secs(20), ..options }
}

/// Plays `options` on disks that are read-only from `from` seconds on, for `lasts` seconds.
fn rehearse(options: &Options, from: u64, lasts: u64) -> (Report, String) {
    let timeline = Timeline::default();
    let crew = move |stage: &Stage, options: &Options| {
        let from = Instant::now() + Duration::from_secs(from);
        let read_only = ReadOnly { from, until: from + Duration::from_secs(lasts) };
        crew_with(stage, options, Arc::new(read_only))
    };
    let report = play(options, timeline.clone(), &crew).unwrap();
    let lines = timeline.entries().into_iter().map(|entry| format!("{:8.2} {}\n", entry.at.as_secs_f64(), entry.what));
    (report, lines.collect())
}

fn passes(options: &Options, from: u64, lasts: u64) -> (Report, String) {
    let (report, timeline) = rehearse(options, from, lasts);
    let broken = report.findings.iter().filter(|finding| !finding.why.is_empty()).collect::<Vec<_>>();
    assert!(report.passed, "read-only from {from} s for {lasts} s:\n{timeline}\n{broken:#?}");
    (report, timeline)
}

#[test]
fn a_deployment_goes_on_once_its_disk_can_be_written_again() {
    for from in (0..36).step_by(4) {
        let (report, _) = passes(&options(from), from, 20);
        assert_eq!((report.deployments[0].succeeded_on.as_slice(), report.load.lost), ([1].as_slice(), 0));
    }
}

#[test]
fn what_the_disk_cannot_remember_is_not_taken_out_and_the_hook_says_why() {
    let (report, timeline) = rehearse(&options(1), 0, 1_000_000);
    assert_eq!((report.load.lost, report.deployments[0].failed_on.as_slice()), (0, [1].as_slice()), "{timeline}");
    assert!(timeline.contains("the disk is full"), "{timeline}");
    // In the end its service manager stops the agent, which leaves.
    let before_its_stop = timeline.split("load ended").next().unwrap_or_default();
    assert!(!before_its_stop.contains("deregistered"), "{timeline}");
}

#[test]
fn a_notice_is_obeyed_whether_or_not_the_disk_can_be_written() {
    let interruption = Interruption {
        at: Moment::Idle(Duration::from_secs(5)),
        action: Action::Terminate,
        notice: Duration::from_secs(120),
        withdrawn_after: None,
    };
    for from in [0, 4, 6, 8] {
        let options = Options { interruption: Some(interruption), ..options(from) };
        let (report, timeline) = passes(&options, from, 1_000_000);
        assert!(timeline.contains("deregistered") && report.load.lost == 0, "{timeline}");
    }
}

#[test]
fn an_agent_that_is_killed_beside_a_disk_that_cannot_be_written_strands_nobody() {
    for (event, from) in
        [(LifecycleEvent::BeforeInstall, 2), (LifecycleEvent::AfterInstall, 8), (LifecycleEvent::ValidateService, 10)]
    {
        let options = Options { kill_agent_at: Some(Kill::During(event)), ..options(from) };
        passes(&options, from, 30);
    }
}
