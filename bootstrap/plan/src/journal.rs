//! The journal: what happened to each step, one line each, in `/var/lib/pitcrew-bootstrap/journal`.
//!
//! ```text
//! run i-0123456789abcdef0 1795411200
//! facts done 14
//! role done 2210
//! pitcrew done 5120
//! ssm failed 30021 digest expected 1f2e…, got 9a0b…
//! end failed 41873 digest
//! ```
//!
//! A run begins with `run`, the instance's id (`-` while it is not known) and the time in Unix
//! seconds by the instance's clock. Then follows one line per step: its name, `done`, `already`
//! or `failed`, the milliseconds it took, and for a failure its word and, to the end of the line,
//! what the failing part said. The run ends with `end`, its outcome, its milliseconds and the
//! word of the first failure; a run without this line was killed. Runs follow each other, the
//! latest one last. The same lines go to standard output, hence to the console.

use crate::text::{cut, lines, nth_word, number};

/// The directory of everything that the bootstrap keeps.
pub const STATE_DIRECTORY: &str = "/var/lib/pitcrew-bootstrap";
/// The journal's name in [`STATE_DIRECTORY`].
pub const JOURNAL_FILE: &str = "journal";
/// The name of the file in [`STATE_DIRECTORY`] that keeps the output of all children.
pub const OUTPUT_FILE: &str = "output.log";

/// How a step, or the whole run, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// There was nothing to do.
    Already,
    /// It failed.
    Failed(Failure),
}

/// Why a step failed, as a word that stays the same from version to version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The request could not be understood.
    Request,
    /// Another bootstrap is running on this machine.
    Running,
    /// The distribution is not known.
    Distribution,
    /// The metadata service did not answer as it should.
    Imds,
    /// The instance has no role, or the role no credentials.
    Role,
    /// None of Pitcrew's packages fits the machine.
    NoPackage,
    /// Neither curl nor wget nor python3 is there to speak TLS.
    NoTool,
    /// A host name could not be resolved.
    Dns,
    /// A download broke off, timed out, or the server was unavailable each time.
    Download,
    /// The server refused a download (403).
    Refused,
    /// What was to be downloaded is not there (404).
    Missing,
    /// What was downloaded has another SHA-256.
    Digest,
    /// A file could not be written; most often the disk is full.
    Disk,
    /// The package manager or an installer failed each time.
    Install,
    /// The image was expected to have an agent and has not.
    Absent,
    /// A unit could not be started, or did not stay up.
    Unit,
    /// The SSM agent did not register in time.
    Offline,
    /// The role may not set these tags.
    Denied,
    /// The EC2 API refused the tags for another reason, or each time.
    Tags,
}

impl Failure {
    /// All failures.
    pub const ALL: [Self; 19] = [
        Self::Request,
        Self::Running,
        Self::Distribution,
        Self::Imds,
        Self::Role,
        Self::NoPackage,
        Self::NoTool,
        Self::Dns,
        Self::Download,
        Self::Refused,
        Self::Missing,
        Self::Digest,
        Self::Disk,
        Self::Install,
        Self::Absent,
        Self::Unit,
        Self::Offline,
        Self::Denied,
        Self::Tags,
    ];

    /// The word for it, in the journal and in the tag `pitcrew:bootstrap=failed:WORD`.
    pub fn word(self) -> &'static [u8] {
        nth_word(
            b"request running distribution imds role no-package no-tool dns download refused missing digest disk \
              install absent unit offline denied tags",
            self as usize,
        )
    }
}

impl Outcome {
    /// The outcome of this and then of `next`: the first failure, else `done` if anything was.
    pub fn and(self, next: Self) -> Self {
        match (self, next) {
            (Self::Already, next) => next,
            (Self::Done, Self::Failed(_)) => next,
            (Self::Done | Self::Failed(_), _) => self,
        }
    }

    /// The word for it in the journal, without the failure's own.
    pub fn word(self) -> &'static [u8] {
        match self {
            Self::Done => b"done",
            Self::Already => b"already",
            Self::Failed(_) => b"failed",
        }
    }
}

/// One line of a journal, read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A run began.
    Run {
        /// Instance id, or `-`.
        instance: &'a str,
        /// Unix seconds.
        began: u32,
    },
    /// A step ended.
    Step {
        /// Name of the step.
        name: &'a str,
        /// How it ended.
        outcome: Outcome,
        /// Milliseconds it took.
        millis: u32,
        /// What a failing part said; empty otherwise.
        detail: &'a str,
    },
    /// The run ended.
    End {
        /// How.
        outcome: Outcome,
        /// Milliseconds it took.
        millis: u32,
    },
}

/// The entries of a journal, oldest first. A line that is not understood, such as one that was cut
/// short by a full disk, is passed over.
pub fn entries(journal: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    lines(journal).filter_map(entry)
}

/// The entries of a journal's latest run.
pub fn latest_run(journal: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let runs = entries(journal).filter(|entry| matches!(entry, Entry::Run { .. })).count();
    let mut seen = 0;
    entries(journal).filter(move |entry| {
        seen += usize::from(matches!(entry, Entry::Run { .. }));
        seen == runs
    })
}

fn entry(line: &[u8]) -> Option<Entry<'_>> {
    let (name, rest) = cut(line, b' ');
    let (second, rest) = cut(rest, b' ');
    let (third, rest) = cut(rest, b' ');
    let name = str::from_utf8(name).ok()?;
    if name == "run" {
        return Some(Entry::Run { instance: str::from_utf8(second).ok()?, began: number(third)? });
    }
    let millis = number(third)?;
    let (outcome, detail) = match second {
        b"done" => (Outcome::Done, rest),
        b"already" => (Outcome::Already, rest),
        b"failed" => {
            let (word, detail) = cut(rest, b' ');
            let failure = Failure::ALL.into_iter().find(|failure| failure.word() == word)?;
            (Outcome::Failed(failure), detail)
        }
        _ => return None,
    };
    Some(match name {
        "end" => Entry::End { outcome, millis },
        name => Entry::Step { name, outcome, millis, detail: str::from_utf8(detail).ok()? },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const JOURNAL: &[u8] = b"run i-1 1795411200\nfacts done 14\nssm fai\n\
        run i-2 1795411300\nfacts done 9\nrole already 3\nssm failed 30021 digest expected 1f, got 9a\n\
        end failed 30100 digest\n";

    #[test]
    fn the_latest_run_is_read_back_whole() {
        let latest: Vec<_> = latest_run(JOURNAL).collect();
        assert_eq!(
            latest,
            [
                Entry::Run { instance: "i-2", began: 1_795_411_300 },
                Entry::Step { name: "facts", outcome: Outcome::Done, millis: 9, detail: "" },
                Entry::Step { name: "role", outcome: Outcome::Already, millis: 3, detail: "" },
                Entry::Step {
                    name: "ssm",
                    outcome: Outcome::Failed(Failure::Digest),
                    millis: 30021,
                    detail: "expected 1f, got 9a"
                },
                Entry::End { outcome: Outcome::Failed(Failure::Digest), millis: 30100 },
            ]
        );
    }

    #[test]
    fn a_line_cut_short_is_passed_over() {
        assert_eq!(entries(JOURNAL).count(), 7);
        assert_eq!(entries(b"").count(), 0);
    }

    #[test]
    fn each_failure_has_a_word_of_its_own() {
        let mut words: Vec<_> = Failure::ALL.iter().map(|failure| failure.word()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Failure::ALL.len());
        for (failure, word) in [
            (Failure::Request, "request"),
            (Failure::NoTool, "no-tool"),
            (Failure::Digest, "digest"),
            (Failure::Tags, "tags"),
        ] {
            assert_eq!(failure.word(), word.as_bytes());
        }
    }
}
