//! How log lines look and where they go: to stderr, for the journal, a person or a program.

mod journal;

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt as layer};

use crate::config::{Log, LogFormat, LogLevel};

/// Changes how much is written.
#[derive(Debug)]
pub struct Volume(Handle<Targets, Registry>);

impl Volume {
    /// From now on, what is less severe than `level` is left out.
    pub fn set(&self, level: LogLevel) {
        // Fails only where there is no log any more.
        let _ = self.0.reload(filter(level));
    }
}

/// Starts logging for the whole process; fails if that was done before. The level can be changed later.
pub fn start(log: &Log) -> anyhow::Result<Volume> {
    let lines = || layer::layer().with_writer(io::stderr);
    let (level, volume) = reload::Layer::new(filter(log.level));
    let lines = match log.format {
        LogFormat::Json => lines().json().flatten_event(true).boxed(),
        LogFormat::Auto if stderr_is_the_journal() => match journal::Journal::at(Path::new(journal::SOCKET)) {
            Ok(journal) => journal.boxed(),
            Err(_) => lines().event_format(Lines::default()).boxed(),
        },
        LogFormat::Auto | LogFormat::Text => lines().with_ansi(io::stderr().is_terminal()).with_target(false).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(level)).try_init().context("starting the log")?;
    Ok(Volume(volume))
}

/// Our own events from `level` on; those of libraries only where they are worth an operator's time.
fn filter(level: LogLevel) -> Targets {
    let (ours, theirs) = match level {
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        LogLevel::Warn => (LevelFilter::WARN, LevelFilter::WARN),
        LogLevel::Info => (LevelFilter::INFO, LevelFilter::WARN),
        LogLevel::Debug => (LevelFilter::DEBUG, LevelFilter::WARN),
        LogLevel::Trace => (LevelFilter::TRACE, LevelFilter::TRACE),
    };
    // Targets match by prefix: `pitcrew_core` and the others begin with it too.
    Targets::new().with_default(theirs).with_target("pitcrew", ours)
}

/// systemd says in `JOURNAL_STREAM` which file it connected to the journal; stderr may have been redirected since.
fn stderr_is_the_journal() -> bool {
    let own = io::stderr().as_fd().try_clone_to_owned().and_then(|stderr| File::from(stderr).metadata());
    let (Ok(stream), Ok(own)) = (std::env::var("JOURNAL_STREAM"), own) else {
        return false;
    };
    stream == format!("{}:{}", own.dev(), own.ino())
}

/// One line an event, opened by its priority (`<6>`), which the journal takes off; it has the time already. For a
/// journal whose own socket cannot be reached.
struct Lines {
    line: Format<Full, ()>,
}

impl Default for Lines {
    fn default() -> Self {
        Self { line: Format::default().without_time().with_level(false).with_target(false).with_ansi(false) }
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.line.format_event(context, Writer::new(&mut line), event)?;
        // A second line would be an entry of its own, without a priority.
        let line = line.trim_end().replace('\n', " ");
        writeln!(writer, "<{}>{line}", priority(*event.metadata().level()))
    }
}

/// The level as syslog counts it.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{debug, error, info, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_journal_gets_one_line_an_event_with_its_priority() {
        let sink = Sink::default();
        let writer = sink.clone();
        let lines = layer::layer().event_format(Lines::default()).with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter(LogLevel::Info)));
        tracing::subscriber::with_default(subscriber, || {
            info!(port = 80, "target drained");
            warn!(cause = %"two\nlines", "call failed");
            error!("ledger cannot be written");
            debug!("this is below the level");
            tracing::info!(target: "hyper", "this is a library's");
            tracing::warn!(target: "hyper", "this is worth a line");
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "<6>target drained port=80",
                "<4>call failed cause=two lines",
                "<3>ledger cannot be written",
                "<4>this is worth a line",
            ]
        );
    }
}
