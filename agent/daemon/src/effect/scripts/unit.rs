//! `drain.d` by way of `pitcrew-drain.service`: the agent, which has no privilege, asks; root's unit runs; and the agent
//! reads what came of it.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::stream::{BoxStream, StreamExt as _, unfold};
use pitcrew_core::time::Spoken;
use pitcrew_core::wire::{Event, Failure, FailureKind};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::report::{self, Report, Said};
use super::request::Request;
use super::{DrainScripts, Order, Runner, ScriptEnded, all_ended};
use crate::doors::Clock;

/// From one look at the report to the next.
const LOOK: Duration = Duration::from_millis(100);

/// A path unit may miss a change while its service runs: a request that nobody took up is put again.
const AGAIN: Duration = Duration::from_secs(2);

/// If nobody takes the request up for this long, nobody will.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);

/// Asks the unit. Both files have their place under `/run`, so that no boot sees those of another.
#[derive(Clone)]
pub struct UnitScripts {
    /// Where the request is put: in a directory of the agent's.
    pub request: PathBuf,
    /// Where the report is read: in a directory of root's.
    pub report: PathBuf,
    /// Looks into the directory, so that nobody is asked where nothing lies there.
    pub runner: Runner,
    /// Says how much time is left.
    pub clock: Arc<dyn Clock>,
}

impl DrainScripts for UnitScripts {
    fn run(&self, order: Order) -> BoxStream<'static, Event> {
        // What the agent may not read, root may.
        if self.runner.list().is_ok_and(|names| names.is_empty()) {
            return all_ended(Ok(()));
        }
        let asked = Asked {
            began: Instant::now(),
            until: Instant::now() + order.until.remaining(self.clock.now().at),
            request: Request::of(&order),
            unit: self.clone(),
            known: order.ended,
            heard: 0,
            put: None,
            over: false,
        };
        unfold(asked, |mut asked| async move { Some((asked.next().await?, asked)) }).boxed()
    }

    fn names(&self) -> Result<Vec<String>, String> {
        self.runner.names()
    }
}

/// A request that was made.
struct Asked {
    unit: UnitScripts,
    request: Request,
    began: Instant,
    until: Instant,
    /// Scripts that had ended before.
    known: Vec<String>,
    /// How much of the report was taken in.
    heard: usize,
    put: Option<Instant>,
    over: bool,
}

impl Asked {
    async fn next(&mut self) -> Option<Event> {
        if self.over {
            return None;
        }
        loop {
            let said = match report::read(&self.unit.report, &self.request.id) {
                Ok(said) => said,
                Err(error) => return Some(self.end(FailureKind::Denied, self.unreadable(&error))),
            };
            let taken_up = !said.is_empty();
            let mut news: VecDeque<Said> = said.into_iter().skip(self.heard).collect();
            while let Some(said) = news.pop_front() {
                self.heard += 1;
                match said {
                    Said::Began {} => {}
                    Said::Ended { name, .. } if self.known.contains(&name) => {}
                    Said::Ended { name, well, how } => {
                        let how = if well { Ok(how) } else { Err(how) };
                        return Some(ScriptEnded { name, how }.into());
                    }
                    Said::Refused(sentence) => return Some(self.end(FailureKind::Denied, sentence)),
                    Said::Done {} => {
                        self.over = true;
                        return Some(Event::DrainScriptsEnded { answer: Ok(()) });
                    }
                }
            }
            let now = Instant::now();
            if now >= self.until {
                return Some(self.end(FailureKind::Unavailable, "drain.d did not end in time".to_owned()));
            }
            if !taken_up {
                let patience = TAKEN_WITHIN.min((self.until - self.began) / 2);
                if now >= self.began + patience {
                    let sentence = format!(
                        "nobody ran drain.d within {}: is pitcrew-drain.path active? (systemctl enable --now \
                         pitcrew-drain.path)",
                        Spoken(patience)
                    );
                    return Some(self.end(FailureKind::NotFound, sentence));
                }
                if self.put.is_none_or(|put| now >= put + AGAIN)
                    && let Err(error) = self.put(now)
                {
                    let sentence = format!("drain.d was not asked for: {error}");
                    return Some(self.end(FailureKind::Unavailable, sentence));
                }
            }
            sleep(LOOK.min(self.until - now)).await;
        }
    }

    fn put(&mut self, now: Instant) -> io::Result<()> {
        self.put = Some(now);
        self.request.put(&self.unit.request)
    }

    fn unreadable(&self, error: &io::Error) -> String {
        format!("the report `{}` of drain.d cannot be read: {error}", self.unit.report.display())
    }

    fn end(&mut self, kind: FailureKind, sentence: String) -> Event {
        self.over = true;
        Event::DrainScriptsEnded { answer: Err(Failure { kind, sentence }) }
    }
}

/// Root's side: does what the request asks, and what requests that came meanwhile ask. Fails where the request makes no
/// sense, or the report cannot be written; then no script has run unseen.
pub async fn serve(request: &Path, report: &Path, runner: Runner) -> anyhow::Result<()> {
    loop {
        let Some(asked) = Request::take(request).map_err(anyhow::Error::msg)? else {
            info!("nothing is asked for");
            return Ok(());
        };
        let before = report::read(report, &asked.id).context("reading the report")?;
        if before.iter().any(|said| matches!(said, Said::Done {} | Said::Refused(_))) {
            return Ok(());
        }
        let mut order = asked.order(runner.clock.now()).map_err(anyhow::Error::msg)?;
        order.ended.extend(before.into_iter().filter_map(|said| match said {
            Said::Ended { name, .. } => Some(name),
            Said::Began {} | Said::Refused(_) | Said::Done {} => None,
        }));
        let mut report = Report::open(report.to_owned(), &asked.id).context("opening the report")?;
        let mut say = |said| report.say(said).context("writing the report");
        say(Said::Began {})?;
        match runner.start(order) {
            Err(failure) => {
                warn!("{}", failure.sentence);
                say(Said::Refused(failure.sentence))?;
            }
            Ok(scripts) => {
                let mut scripts = std::pin::pin!(scripts);
                while let Some(ended) = scripts.next().await {
                    match &ended.how {
                        Ok(how) => info!("{} {how}", ended.name),
                        Err(how) => warn!("{} {how}", ended.name),
                    }
                    say(ended.into())?;
                }
                say(Said::Done {})?;
            }
        }
    }
}
