//! Polls IMDS for everything that may take this instance away.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use pitcrew_core::notice::Notice;
use pitcrew_core::wire::Event;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{info, warn};

use super::sight::Eye;
use super::sources::{Calendar, Source};
use super::{Imds, Sight, Trouble};
use crate::doors::with_causes;

/// Backing off further would leave a two-minute notice unread for too long.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// What comes minutes ahead is asked for in turns of this length.
const TURN: Duration = Duration::from_secs(5);

/// A notice is withdrawn when it was missing this often in a row: one 404 may be a hiccup.
const MISSES: u32 = 2;

/// Asks again and again, for as long as somebody listens.
pub struct NoticePoller {
    imds: Arc<Imds>,
    poll: Duration,
    random: fastrand::Rng,
    calendar: Calendar,
    watches: Vec<Watch>,
    eye: Eye,
}

/// A source, and the notices that stand there: how often in a row each was missing.
struct Watch {
    source: Source,
    standing: BTreeMap<Notice, u32>,
}

/// What one source answered in one poll.
type Glance = (usize, Result<Vec<Notice>, Trouble>);

impl NoticePoller {
    /// Polls every `poll`, a little early or late by `seed`. `calendar` says when a scheduled event becomes a notice.
    /// `standing` are the notices that are known from before a restart: they are not told again, and their withdrawal
    /// is.
    pub fn new(imds: Arc<Imds>, poll: Duration, seed: u64, calendar: Calendar, standing: &[Notice]) -> Self {
        let watches = Source::ALL.map(|source| Watch {
            source,
            standing: standing
                .iter()
                .filter(|notice| source.tells(notice.kind))
                .map(|notice| (notice.clone(), 0))
                .collect(),
        });
        Self {
            imds,
            poll,
            random: fastrand::Rng::with_seed(seed),
            calendar,
            watches: watches.into(),
            eye: Eye::opened(Instant::now()),
        }
    }

    /// Asks for Elastigroup's mark, too.
    #[must_use]
    pub fn in_elastigroup(mut self) -> Self {
        self.watches.push(Watch { source: Source::Elastigroup, standing: BTreeMap::new() });
        self
    }

    /// Polls until the receiver is gone. Each notice is told as soon as its own source has answered.
    pub async fn run<I>(mut self, heard: mpsc::Sender<I>)
    where
        I: From<Event> + From<Sight>,
    {
        self.eye = Eye::opened(Instant::now());
        let mut throttled = 0;
        let turn = self.turn();
        for poll in 0.. {
            let began = Instant::now();
            let mut too_often = false;
            let due = |source: Source| source.is_due(poll, turn);
            let mut glances = pin!(glances(&self.imds, &self.watches, &self.calendar, due));
            while let Some((watch, answer)) = glances.next().await {
                too_often |= matches!(answer, Err(Trouble::Throttled));
                for input in self.take(watch, answer) {
                    if heard.send(input).await.is_err() {
                        return;
                    }
                }
            }
            throttled = if too_often { throttled + 1 } else { 0 };
            let pause = self.pause(throttled);
            tokio::select! {
                biased;
                () = heard.closed() => return,
                () = tokio::time::sleep_until(began + pause) => {}
            }
        }
    }

    /// How many polls take about five seconds.
    fn turn(&self) -> u64 {
        u64::try_from(TURN.as_millis() / self.poll.as_millis().max(1)).unwrap_or(1).max(1)
    }

    /// From one poll's beginning to the next, so that an answer that hangs does not also delay the next question.
    fn pause(&mut self, throttled: u32) -> Duration {
        let jitter = 0.9 + 0.2 * self.random.f64();
        let backed_off = self.poll * 2_u32.saturating_pow(throttled.min(8));
        backed_off.min(LONGEST_PAUSE.max(self.poll)).mul_f64(jitter)
    }

    fn take<I>(&mut self, watch: usize, answer: Result<Vec<Notice>, Trouble>) -> Vec<I>
    where
        I: From<Event> + From<Sight>,
    {
        let mut inputs = Vec::new();
        let Some(watch) = self.watches.get_mut(watch) else {
            return inputs;
        };
        // Whether we would hear of an interruption is decided where interruptions are told.
        if watch.source == Source::Spot {
            let now = Instant::now();
            let change = match &answer {
                Ok(_) => self.eye.saw(now),
                Err(trouble) => self.eye.missed(now, with_causes(trouble)),
            };
            inputs.extend(change.inspect(log_sight).map(I::from));
        }
        if let Ok(present) = answer {
            inputs.extend(watch.compare(present).into_iter().map(I::from));
        }
        inputs
    }
}

fn glances<F: Fn(Source) -> bool>(
    imds: &Arc<Imds>,
    watches: &[Watch],
    calendar: &Calendar,
    is_due: F,
) -> impl stream::Stream<Item = Glance> + use<F> {
    let due = watches.iter().map(|watch| watch.source).enumerate();
    let questions: Vec<_> = due
        .filter(|(_, source)| is_due(*source))
        .map(|(watch, source)| {
            let (imds, calendar) = (imds.clone(), calendar.clone());
            async move {
                let answer = imds.get(source.path()).await;
                let notices = answer.and_then(|answer| source.read(answer.as_deref(), &calendar));
                (watch, notices)
            }
        })
        .collect();
    let count = questions.len();
    stream::iter(questions).buffer_unordered(count)
}

impl Watch {
    /// What is new is told before what is gone: a notice that moved must not look like none.
    fn compare(&mut self, present: Vec<Notice>) -> Vec<Event> {
        let mut events = Vec::new();
        for (notice, misses) in &mut self.standing {
            *misses = if present.contains(notice) { 0 } else { *misses + 1 };
        }
        for notice in present {
            if self.standing.insert(notice.clone(), 0).is_none() {
                events.push(Event::NoticeSeen { notice });
            }
        }
        let gone = self.standing.iter().filter(|(_, misses)| **misses >= MISSES);
        let gone: Vec<Notice> = gone.map(|(notice, _)| notice.clone()).collect();
        for notice in gone {
            self.standing.remove(&notice);
            events.push(Event::NoticeWithdrawn { notice });
        }
        events
    }
}

fn log_sight(sight: &Sight) {
    match sight {
        Sight::Blind { unseen, why } => {
            warn!(name: "blind", seconds = unseen.as_secs(), %why, "blind: an interruption would not be noticed");
        }
        Sight::Seeing { unseen } => {
            info!(seconds = unseen.as_secs(), "seeing again: IMDS answers");
        }
    }
}
