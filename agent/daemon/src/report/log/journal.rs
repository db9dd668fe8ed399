//! The journal's own protocol: each event is one datagram of fields, so that `journalctl` and alerts can tell them apart.
//!
//! `MESSAGE` is the line that people read. Every field of an event is there once more by itself, as `PITCREW_…`; what is
//! worth waking somebody carries a fixed `MESSAGE_ID` (`docs/journal.md`).

use std::fmt::{self, Write as _};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::priority;

/// Where systemd listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// What is worth waking somebody: the event's name, its `MESSAGE_ID`, and what it means.
const ALERTS: [(&str, &str, &str); 5] = [
    ("notice_seen", "c91c7661fdf648df887c9f74de21f841", "The instance is, or may be, about to be taken away."),
    ("left_badly", "717a134047a24f1194b0db2d49798229", "It left, and something was skipped or failed."),
    ("deployment_ended_badly", "0187283f891541368a17a483b633eec7", "A deployment failed here, or fell silent."),
    ("blind", "5217d3dd54474947acc490366c40884e", "No interruption notice can be heard."),
    ("ledger_not_written", "4bff7dfee5644655b9cb854378b10445", "What must survive a crash cannot be written down."),
];

/// The longest line; a datagram holds only so much.
const LONGEST: usize = 16 * 1024;

/// A layer that writes to the journal.
pub(super) struct Journal {
    socket: UnixDatagram,
}

impl Journal {
    /// Connects to the journal that listens at `path`.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Self { socket })
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let entry = fields.entry(event.metadata().name(), priority(*event.metadata().level()));
        // A journal that restarts, or is full, is no reason to stop.
        let _ = self.socket.send(&entry);
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Fields {
    fn entry(self, name: &str, priority: u8) -> Vec<u8> {
        let mut line = self.message;
        for (name, value) in &self.others {
            // Writing to a string cannot fail.
            let _ = write!(line, " {name}={value}");
        }
        let mut entry = Vec::new();
        field(&mut entry, "MESSAGE", &line);
        field(&mut entry, "PRIORITY", &priority.to_string());
        field(&mut entry, "SYSLOG_IDENTIFIER", "pitcrew");
        if let Some((_, id, _)) = ALERTS.iter().find(|(alert, ..)| *alert == name) {
            field(&mut entry, "MESSAGE_ID", id);
        }
        for (name, value) in &self.others {
            let name: String =
                name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
            field(&mut entry, &format!("PITCREW_{name}"), value);
        }
        entry
    }
}

/// `NAME=value`; a value of several lines has its length before it instead.
fn field(entry: &mut Vec<u8>, name: &str, value: &str) {
    let end = value.char_indices().map(|(at, _)| at).take_while(|at| *at <= LONGEST).last().unwrap_or(0);
    let value = if value.len() > LONGEST { &value[..end] } else { value };
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.others.push((name, value.to_owned())),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.others.push((name, format!("{value:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use expect_test::expect_file;
    use tracing::{info, warn};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// The page `docs/journal.md`.
    fn reference() -> String {
        let mut page = "# The journal\n\nUnder systemd the agent writes to the journal with its fields: `journalctl -u pitcrew -o \
                        json` shows them, each as `PITCREW_<NAME>`. What is worth waking somebody carries a fixed \
                        `MESSAGE_ID`:\n\n    journalctl -u pitcrew MESSAGE_ID=<id> --follow\n\n| event | `MESSAGE_ID` | meaning |\n\
                        |---|---|---|\n"
            .to_owned();
        for (name, id, meaning) in ALERTS {
            let _ = writeln!(page, "| `{name}` | `{id}` | {meaning} |");
        }
        page.push_str(
            "\nOn a terminal the same events are readable text; `[log] format = \"json\"` writes one JSON object a line. \
             `systemctl reload pitcrew` reads the configuration again, the log level among it.\n",
        );
        page
    }

    /// What the journal gets of `events`.
    fn heard(events: impl FnOnce()) -> Vec<BTreeMap<String, String>> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        journal.set_nonblocking(true).unwrap();
        let subscriber = tracing_subscriber::registry().with(Journal::at(&path).unwrap());
        tracing::subscriber::with_default(subscriber, events);
        let mut entries = Vec::new();
        let mut buffer = vec![0; 256 * 1024];
        while let Ok(length) = journal.recv(&mut buffer) {
            entries.push(read(&buffer[..length]));
        }
        entries
    }

    /// As the journal's documentation has it.
    fn read(mut entry: &[u8]) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        while let Some(end) = entry.iter().position(|byte| *byte == b'\n') {
            let line = std::str::from_utf8(&entry[..end]).unwrap();
            let (name, value) = match line.split_once('=') {
                Some((name, value)) => {
                    entry = &entry[end + 1..];
                    (name.to_owned(), value.to_owned())
                }
                None => {
                    let length = u64::from_le_bytes(entry[end + 1..end + 9].try_into().unwrap()) as usize;
                    let value = String::from_utf8(entry[end + 9..end + 9 + length].to_vec()).unwrap();
                    let name = line.to_owned();
                    entry = &entry[end + 10 + length..];
                    (name, value)
                }
            };
            fields.insert(name, value);
        }
        fields
    }

    #[test]
    fn each_event_is_an_entry_with_its_fields() {
        let entries = heard(|| {
            info!(port = 80, target_group = %"web", "target drained");
            warn!(name: "notice_seen", kind = %"spot-terminate", "notice seen");
            warn!(cause = %"two\nlines", "call failed");
        });
        assert_eq!(entries[0]["MESSAGE"], "target drained port=80 target_group=web");
        assert_eq!((entries[0]["PRIORITY"].as_str(), entries[0]["PITCREW_PORT"].as_str()), ("6", "80"));
        assert_eq!(entries[0]["PITCREW_TARGET_GROUP"], "web");
        assert!(!entries[0].contains_key("MESSAGE_ID"));
        assert_eq!(entries[1]["MESSAGE_ID"], ALERTS[0].1);
        assert_eq!(entries[2]["PITCREW_CAUSE"], "two\nlines");
        assert_eq!(entries[2]["PRIORITY"], "4");
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_arrives() {
        let entries = heard(|| info!("{}", "ä".repeat(100_000)));
        let length = entries[0]["MESSAGE"].len();
        assert!(length <= LONGEST && length > LONGEST - 4, "{length}");
    }

    #[test]
    fn ids_are_unique_and_as_systemd_wants_them() {
        let ids: BTreeSet<_> = ALERTS.iter().map(|(_, id, _)| id).collect();
        assert_eq!(ids.len(), ALERTS.len());
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
    }

    #[test]
    fn the_page_lists_every_alert() {
        expect_file!["../../../../../docs/journal.md"].assert_eq(&reference());
    }
}
