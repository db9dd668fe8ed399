//! History on disk: lines with a checksum, appended to `history.jsonl`; a full file becomes `history.previous.jsonl`.
//!
//! A line is `<CRC-32 of the JSON, 8 hexadecimal digits> <JSON>`. What a crash tears is one line, which its checksum
//! tells; nothing that was whole before is ever written to again.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::Record;

const CURRENT: &str = "history.jsonl";
const PREVIOUS: &str = "history.previous.jsonl";

/// A file that is longer than anything this module writes is read no further.
const LONGEST: u64 = 64 * 1024 * 1024;

/// The two files, of which one is appended to.
#[derive(Debug)]
pub(super) struct Segments {
    directory: PathBuf,
    keep: usize,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    lines: usize,
}

impl Segments {
    pub(super) fn of(directory: &Path, keep: usize) -> Self {
        Self { directory: directory.to_owned(), keep, open: None }
    }

    /// Appends a record. After an error the next record opens the file afresh.
    pub(super) fn append(&mut self, record: &Record) -> io::Result<()> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.reopen()?,
        };
        if open.lines >= self.keep {
            std::fs::rename(self.directory.join(CURRENT), self.directory.join(PREVIOUS))?;
            open = self.reopen()?;
        }
        open.file.write_all(line(record).as_bytes())?;
        open.lines += 1;
        self.open = Some(open);
        Ok(())
    }

    fn reopen(&self) -> io::Result<Open> {
        let path = self.directory.join(CURRENT);
        let text = text(&path);
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        // A torn line must not tear the next one, too.
        if !text.is_empty() && !text.ends_with(b"\n") {
            file.write_all(b"\n")?;
        }
        Ok(Open { file, lines: text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() })
    }
}

/// Every whole record, the newest last, and how many lines are not whole.
pub(super) fn read(directory: &Path) -> (Vec<Record>, usize) {
    let mut records = Vec::new();
    let mut torn = 0;
    for name in [PREVIOUS, CURRENT] {
        let text = text(&directory.join(name));
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match whole(line) {
                Some(record) => records.push(record),
                None => torn += 1,
            }
        }
    }
    (records, torn)
}

/// What cannot be read is as good as not there.
fn text(path: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    if let Ok(file) = File::open(path)
        && file.take(LONGEST).read_to_end(&mut text).is_err()
    {
        text.clear();
    }
    text
}

fn line(record: &Record) -> String {
    // A record is plain data with string keys: it always has a JSON form.
    let json = serde_json::to_string(record).unwrap_or_default();
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))
}

fn whole(line: &[u8]) -> Option<Record> {
    let (sum, json) = (line.get(..8)?, line.get(9..)?);
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    (crc32fast::hash(json) == sum).then(|| serde_json::from_slice(json).ok())?
}
