//! The operator's `drain.d`: what runs on this instance before it goes.

mod report;
mod request;
mod runner;
mod trust;
mod unit;

use futures_util::stream::{BoxStream, StreamExt as _, once};
use pitcrew_core::ids::InstanceId;
use pitcrew_core::notice::NoticeKind;
use pitcrew_core::time::Instant;
use pitcrew_core::wire::{Event, Failure};

pub use runner::Runner;
pub use trust::Trust;
pub use unit::{UnitScripts, serve};

/// Runs `drain.d`, here or elsewhere.
pub trait DrainScripts: Send + Sync {
    /// Runs what `order` leaves to run: an [`Event::DrainScriptEnded`] for each, then [`Event::DrainScriptsEnded`],
    /// all before `order.until`. Dropped before its end, it begins no further script here, and kills the one that runs
    /// here; what runs elsewhere goes on until `order.until`.
    fn run(&self, order: Order) -> BoxStream<'static, Event>;

    /// The names of what would run, in order; an error is a sentence for people.
    fn names(&self) -> Result<Vec<String>, String>;
}

/// Why the scripts run, and how long they may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Why the instance leaves.
    pub why: NoticeKind,
    /// What runs then is killed.
    pub until: Instant,
    /// Those that are not run again.
    pub ended: Vec<String>,
    /// This instance.
    pub instance: InstanceId,
    /// Its region.
    pub region: String,
}

/// How one script ended, in words that follow its name; an error is how it went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptEnded {
    /// Its file name.
    pub name: String,
    /// `exited 0 after 2 s`.
    pub how: Result<String, String>,
}

impl From<ScriptEnded> for Event {
    fn from(ended: ScriptEnded) -> Self {
        Event::DrainScriptEnded { name: ended.name, how: ended.how }
    }
}

impl DrainScripts for Runner {
    fn run(&self, order: Order) -> BoxStream<'static, Event> {
        match self.start(order) {
            Ok(scripts) => scripts.map(Event::from).chain(all_ended(Ok(()))).boxed(),
            Err(failure) => all_ended(Err(failure)),
        }
    }

    fn names(&self) -> Result<Vec<String>, String> {
        self.list().map_err(|failure| failure.sentence)
    }
}

fn all_ended(answer: Result<(), Failure>) -> BoxStream<'static, Event> {
    once(std::future::ready(Event::DrainScriptsEnded { answer })).boxed()
}
