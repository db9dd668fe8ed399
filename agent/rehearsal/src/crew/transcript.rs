//! What a script prints while it runs, and when it said how its hook would end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::lock::lock;

/// What `pitcrew hook` prints as soon as it is told how its call ends on an instance that leaves.
const SETTLED: &[u8] = b"leaving: not returned to traffic";

/// How much is held while a script runs, in bytes; more than CodeDeploy keeps, less than a runaway script writes.
const HELD: usize = 1 << 20;

/// The output of one script (both streams, in order of arrival); clones are the same output.
#[derive(Clone, Debug)]
pub struct Transcript(Arc<Mutex<Heard>>);

#[derive(Debug)]
struct Heard {
    began: Instant,
    bytes: Vec<u8>,
    settled: Option<Duration>,
}

impl Transcript {
    /// Of a script that starts now.
    pub fn begin() -> Self {
        Self(Arc::new(Mutex::new(Heard { began: Instant::now(), bytes: Vec::new(), settled: None })))
    }

    /// Takes what was printed just now.
    pub fn hear(&self, printed: &[u8]) {
        let mut heard = lock(&self.0);
        // What is looked for may begin in what was heard before.
        let from = heard.bytes.len().saturating_sub(SETTLED.len() - 1);
        heard.bytes.extend_from_slice(printed);
        if heard.settled.is_none() && heard.bytes[from..].windows(SETTLED.len()).any(|window| window == SETTLED) {
            heard.settled = Some(heard.began.elapsed());
        }
        if heard.bytes.len() > HELD {
            let surplus = heard.bytes.len() - HELD / 2;
            heard.bytes.drain(..surplus);
        }
    }

    /// Takes a line; an empty one is none.
    pub fn hear_line(&self, line: &str) {
        if !line.is_empty() {
            self.hear(format!("{line}\n").as_bytes());
        }
    }

    /// The last 2048 characters, which is what CodeDeploy keeps of a script's output.
    pub fn last_characters(&self) -> String {
        const KEPT: usize = 2048;
        let text = String::from_utf8_lossy(&lock(&self.0).bytes).into_owned();
        let skipped = text.chars().count().saturating_sub(KEPT);
        text.chars().skip(skipped).collect()
    }

    /// When, from its start, the script said how its hook would end on an instance that leaves; `None`: it has not.
    pub fn settled(&self) -> Option<Duration> {
        lock(&self.0).settled
    }
}
