//! The machine that a run is about: what was asked, what is known, and what every step needs.

use core::mem::ManuallyDrop;

use pitcrew_plan::{
    distribution::COMMAND,
    journal::{Failure, Outcome},
    request::Request,
    retry::{Backoff, Trial},
    step::Facts,
    text::Text,
    transfer::cause,
};

use crate::sys::{
    Path, arena,
    file::File,
    process::{self, Environment},
    time::{monotonic_ms, sleep_ms},
};

/// What every step is given.
pub(crate) struct Machine<'a> {
    pub(crate) request: Request<'a>,
    pub(crate) facts: Facts<'a>,
    pub(crate) environment: Environment,
    /// Takes the output of all children.
    pub(crate) output: ManuallyDrop<File>,
    /// Where the output of the latest child begins.
    pub(crate) output_begins: usize,
    /// For the pauses between tries.
    pub(crate) seed: u64,
    /// When the run must be over, in monotonic milliseconds.
    pub(crate) until: u64,
    /// What the part that failed last had to say.
    pub(crate) detail: Text<'a>,
}

impl Machine<'_> {
    /// `path` under the root that was asked for.
    pub(crate) fn path(&self, path: &[u8]) -> Path {
        Path::new(self.request.root(), path)
    }

    /// Runs a line of the shell, in which `$0` is `argument`, until it ends or the run is over.
    /// `true` when it succeeded; else its last words become the detail of the failure.
    pub(crate) fn run(&mut self, line: &[u8], argument: &[u8]) -> bool {
        self.run_reading(line, argument, b"") == 0
    }

    /// The same, with `input` on its standard input, and its exit status as the answer.
    pub(crate) fn run_reading(&mut self, line: &[u8], argument: &[u8], input: &[u8]) -> u32 {
        self.output_begins = self.output.size();
        let (mut whole, mut seconds) = (arena::text(4096), arena::text(20));
        // `timeout 0` would be none at all.
        seconds.number(self.until.saturating_sub(monotonic_ms()) / 1000 + 1);
        whole.fill(COMMAND, &[self.facts.region, line, argument, seconds.bytes()]);
        let exit = process::run(self.environment, whole.bytes(), input, &self.output);
        self.detail.clear();
        let cause = cause(self.said());
        self.detail.put(cause.get(..200).unwrap_or(cause));
        exit
    }

    /// The end of what the latest child said.
    pub(crate) fn said(&self) -> &'static [u8] {
        const MUCH: usize = 4096;
        self.output.read_at(self.output_begins.max(self.output.size().saturating_sub(MUCH)), arena::room(MUCH))
    }

    /// Says what failed, in the journal's line of this step.
    pub(crate) fn say(&mut self, detail: &[u8]) {
        self.detail.clear();
        self.detail.put(detail);
    }

    /// Tries until it succeeds, fails for good, has failed `tries` times, or the run is over.
    /// `already` when the first try succeeded.
    pub(crate) fn retry(
        &mut self,
        tries: u32,
        attempt: &mut dyn FnMut(&mut Self) -> Trial<()>,
    ) -> Result<Outcome, Failure> {
        let mut backoff = Backoff::new(self.request.pace_ms(), self.seed);
        for tried in 1.. {
            match attempt(self) {
                Trial::Ended(()) if tried == 1 => break,
                Trial::Ended(()) => return Ok(Outcome::Done),
                Trial::Never(failure) => return Err(failure),
                Trial::Again(failure) => {
                    let pause = backoff.pause();
                    if tried == tries || monotonic_ms() + pause >= self.until {
                        return Err(failure);
                    }
                    sleep_ms(pause);
                }
            }
        }
        Ok(Outcome::Already)
    }
}
