//! The poller against the stand-in, and what it tells.

use std::sync::Arc;
use std::time::Duration;

use pitcrew::config::Scheduled;
use pitcrew::doors::TokioClock;
use pitcrew::intake::imds::{Calendar, NoticePoller, Sight};
use pitcrew_core::notice::{Notice, NoticeKind};
use pitcrew_core::time::{Instant as BootTime, Now, WallTime};
use pitcrew_core::wire::Event;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::world::World;

/// What the poller tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Seen(Notice),
    Withdrawn(Notice),
    Sight(Sight),
}

impl From<Event> for Told {
    fn from(event: Event) -> Self {
        match event {
            Event::NoticeSeen { notice } => Told::Seen(notice),
            Event::NoticeWithdrawn { notice } => Told::Withdrawn(notice),
            other => panic!("a poller does not tell {other:?}"),
        }
    }
}

impl From<Sight> for Told {
    fn from(sight: Sight) -> Self {
        Told::Sight(sight)
    }
}

impl World {
    pub(crate) fn poll(&self, standing: &[Notice]) -> mpsc::Receiver<Told> {
        let (sender, receiver) = mpsc::channel(16);
        let poller = NoticePoller::new(self.imds.clone(), Duration::from_secs(1), 42, calendar(), standing);
        tokio::spawn(poller.run(sender));
        receiver
    }
}

/// It is 2026-11-23T00:00:00Z, an hour after boot.
pub(crate) fn calendar() -> Calendar {
    let start = Now { at: BootTime(3_600_000), wall: WallTime(1_795_392_000_000) };
    Calendar { clock: Arc::new(TokioClock::starting_at(start)), scheduled: Scheduled::default() }
}

pub(crate) fn terminate() -> Notice {
    // 2026-11-23T00:02:00Z
    Notice { kind: NoticeKind::SpotTerminate, time: Some(WallTime(1_795_392_120_000)) }
}

pub(crate) const TERMINATE: &str = r#"{"action":"terminate","time":"2026-11-23T00:02:00Z"}"#;

/// What is told next, and after how long; panics where nothing is told for two minutes.
pub(crate) async fn next(told: &mut mpsc::Receiver<Told>) -> (Told, Duration) {
    let began = Instant::now();
    let next = timeout(Duration::from_secs(120), told.recv()).await.expect("told within two minutes");
    (next.unwrap(), began.elapsed())
}

pub(crate) async fn nothing(told: &mut mpsc::Receiver<Told>, patience: Duration) {
    if let Ok(told) = timeout(patience, told.recv()).await {
        panic!("nothing was to be told, and yet: {told:?}");
    }
}
