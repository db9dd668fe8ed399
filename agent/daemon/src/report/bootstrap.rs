//! What the bootstrap did before the agent was there: the latest run of its journal, for people and for programs.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::Duration;

use pitcrew_core::time::Spoken;
use pitcrew_plan::journal::{Entry, JOURNAL_FILE, Outcome, STATE_DIRECTORY, latest_run};
use serde_json::{Value, json};

/// The latest run stands at the end: a journal of many boots is read no further back.
const LONGEST: u64 = 64 * 1024;

/// The end of the journal; `None` where this instance was not bootstrapped, or not so that this user may read it.
pub fn journal() -> Option<Vec<u8>> {
    end_of(Path::new(STATE_DIRECTORY).join(JOURNAL_FILE)).ok()
}

fn end_of(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LONGEST)))?;
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text)?;
    Ok(text)
}

/// A line for the run, and one for each step. Empty for a journal without a run.
pub fn lines(journal: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut ended = None;
    for entry in latest_run(journal) {
        match entry {
            Entry::Run { .. } => {}
            Entry::Step { name, outcome, millis, detail } => {
                let colon = if detail.is_empty() { "" } else { ": " };
                lines.push(format!("  {name:<12} {:<18} {:>7}{colon}{detail}", said(outcome), took(millis)));
            }
            Entry::End { outcome, millis } => ended = Some((outcome, millis)),
        }
    }
    if lines.is_empty() && ended.is_none() {
        return lines;
    }
    let headline = match ended {
        Some((outcome, millis)) => format!("bootstrap: {} after {}", said(outcome), took(millis)),
        None => "bootstrap: not ended; it is running, or was killed".to_owned(),
    };
    lines.insert(0, headline);
    lines
}

/// The same as a document: `[{"step", "outcome", "failure"?, "ms", "detail"?}]`, the run itself as step `end`.
pub fn document(journal: &[u8]) -> Value {
    let entries = latest_run(journal).filter_map(|entry| match entry {
        Entry::Run { .. } => None,
        Entry::Step { name, outcome, millis, detail } => Some(step(name, outcome, millis, detail)),
        Entry::End { outcome, millis } => Some(step("end", outcome, millis, "")),
    });
    Value::Array(entries.collect())
}

fn step(name: &str, outcome: Outcome, millis: u32, detail: &str) -> Value {
    let mut step = json!({ "step": name, "outcome": String::from_utf8_lossy(outcome.word()), "ms": millis });
    if let Outcome::Failed(failure) = outcome {
        step["failure"] = String::from_utf8_lossy(failure.word()).into();
    }
    if !detail.is_empty() {
        step["detail"] = detail.into();
    }
    step
}

fn said(outcome: Outcome) -> String {
    let word = String::from_utf8_lossy(outcome.word());
    match outcome {
        Outcome::Done | Outcome::Already => word.into_owned(),
        Outcome::Failed(failure) => format!("{word}: {}", String::from_utf8_lossy(failure.word())),
    }
}

fn took(millis: u32) -> String {
    Spoken(Duration::from_millis(u64::from(millis))).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOURNAL: &[u8] = b"run i-1 1795411200\nfacts done 14\nrun i-1 1795411300\nfacts done 9\nrole already 3\n\
        ssm failed 30021 digest expected 1f, got 9a\nend failed 30100 digest\n";

    #[test]
    fn the_latest_run_is_told_step_by_step() {
        assert_eq!(
            lines(JOURNAL),
            [
                "bootstrap: failed: digest after 30 s",
                "  facts        done                  9 ms",
                "  role         already               3 ms",
                "  ssm          failed: digest        30 s: expected 1f, got 9a",
            ]
        );
    }

    #[test]
    fn a_run_that_was_killed_is_told_as_such() {
        let killed = lines(b"run i-1 1795411200\nfacts done 14\n");
        assert_eq!(killed[0], "bootstrap: not ended; it is running, or was killed");
        assert_eq!(lines(b""), [""; 0]);
    }

    #[test]
    fn of_a_journal_of_many_boots_the_latest_is_told() {
        let disk = tempfile::tempdir().unwrap();
        let path = disk.path().join("journal");
        std::fs::write(&path, JOURNAL.repeat(10_000)).unwrap();
        let end = end_of(&path).unwrap();
        assert_eq!(end.len() as u64, LONGEST);
        assert_eq!(lines(&end), lines(JOURNAL));
    }

    #[test]
    fn programs_get_words_and_milliseconds() {
        let document = document(JOURNAL);
        assert_eq!(
            document[2],
            json!({ "step": "ssm", "outcome": "failed", "failure": "digest", "ms": 30021, "detail": "expected 1f, got 9a" })
        );
        assert_eq!(document[3]["step"], "end");
    }
}
