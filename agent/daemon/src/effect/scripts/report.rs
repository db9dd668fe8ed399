//! What the unit that runs `drain.d` says of it: lines of JSON in a file that only root writes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ScriptEnded;

/// Longer than any report, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    /// Which request it belongs to.
    request: String,
    #[serde(flatten)]
    said: Said,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    /// Somebody has taken the request up.
    Began {},
    /// A script has ended.
    Ended {
        /// Its file name.
        name: String,
        /// Whether it went well.
        well: bool,
        /// How, in words.
        how: String,
    },
    /// None could be run, and why.
    Refused(String),
    /// None is left to run.
    Done {},
}

impl From<ScriptEnded> for Said {
    fn from(ended: ScriptEnded) -> Self {
        let well = ended.how.is_ok();
        Said::Ended { name: ended.name, well, how: ended.how.unwrap_or_else(|how| how) }
    }
}

/// Everything that was said of a request, in order. A line that is not whole yet, or never will be, is not there.
pub(super) fn read(path: &Path, request: &str) -> io::Result<Vec<Said>> {
    let mut text = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?.take(LONGEST).read_to_end(&mut text)?,
    };
    let whole = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let lines = whole.filter_map(|line| serde_json::from_slice::<Line>(line).ok());
    Ok(lines.filter(|line| line.request == request).map(|line| line.said).collect())
}

/// Where a run writes what it has to say of one request.
pub(super) struct Report {
    file: File,
    request: String,
}

impl Report {
    /// Goes on with the report of a request, or begins it; what was said of other requests is over.
    pub(super) fn open(path: PathBuf, request: &str) -> io::Result<Self> {
        let goes_on = !read(&path, request)?.is_empty();
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        match goes_on {
            // After a line that a crash has cut off.
            true => file.write_all(b"\n")?,
            false => file.set_len(0)?,
        }
        Ok(Self { file, request: request.to_owned() })
    }

    /// Adds a line, in one write.
    pub(super) fn say(&mut self, said: Said) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Line { request: self.request.clone(), said })?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(name: &str) -> Said {
        ScriptEnded { name: name.to_owned(), how: Err("exited 3 after 1 s".to_owned()) }.into()
    }

    #[test]
    fn a_line_that_was_cut_off_harms_no_other() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("report.jsonl");
        assert_eq!(read(&path, "a").unwrap(), []);
        let mut report = Report::open(path.clone(), "a").unwrap();
        report.say(Said::Began {}).unwrap();
        report.file.write_all(br#"{"request":"a","ended":{"na"#).unwrap();
        assert_eq!(read(&path, "a").unwrap(), [Said::Began {}]);
        let mut report = Report::open(path.clone(), "a").unwrap();
        report.say(ended("10-flush")).unwrap();
        assert_eq!(read(&path, "a").unwrap(), [Said::Began {}, ended("10-flush")]);
    }

    #[test]
    fn a_report_is_of_one_request() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("report.jsonl");
        Report::open(path.clone(), "a").unwrap().say(Said::Done {}).unwrap();
        assert_eq!(read(&path, "b").unwrap(), []);
        Report::open(path.clone(), "b").unwrap().say(Said::Refused("no".to_owned())).unwrap();
        assert_eq!(read(&path, "a").unwrap(), []);
        assert_eq!(read(&path, "b").unwrap(), [Said::Refused("no".to_owned())]);
    }
}
