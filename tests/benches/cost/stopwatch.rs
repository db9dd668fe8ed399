//! Runs programs and takes their time, in a process of its own.
//!
//! The kernel counts a program's peak resident set from its parent's at the fork, so the parent must be small: this
//! program starts itself again and does nothing there but run a series.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// The argument that makes this program a stopwatch.
const WORD: &str = "stopwatch";

/// One program to run.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    program: PathBuf,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
}

impl Call {
    pub(crate) fn new(program: &Path) -> Self {
        Self { program: program.to_owned(), arguments: Vec::new(), environment: BTreeMap::new() }
    }

    pub(crate) fn args<T: ToString>(mut self, arguments: &[T]) -> Self {
        self.arguments.extend(arguments.iter().map(T::to_string));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).args(&self.arguments).envs(&self.environment).stdin(Stdio::null());
        command
    }
}

/// What the rounds of a series took, each round all its calls together.
#[derive(Debug)]
pub(crate) struct Series {
    wall: Vec<Duration>,
    cpu: Vec<Duration>,
    /// The largest peak resident set of any call, in bytes.
    pub(crate) resident: u64,
}

impl Series {
    /// Makes these calls one after the other, so many rounds. One that fails ends the measurement.
    pub(crate) fn run(calls: &[Call], rounds: usize) -> Self {
        let calls: Vec<_> = calls.iter().map(|call| json!([call.program, call.arguments, call.environment])).collect();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(WORD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let order = json!({ "calls": calls, "rounds": rounds }).to_string();
        child.stdin.take().unwrap().write_all(order.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "the series ended: see above");
        let taken: Value = serde_json::from_slice(&output.stdout).unwrap();
        let durations = |name: &str| {
            let mut durations: Vec<_> =
                taken[name].as_array().unwrap().iter().map(|us| Duration::from_micros(us.as_u64().unwrap())).collect();
            durations.sort();
            durations
        };
        Self { wall: durations("wall"), cpu: durations("cpu"), resident: taken["resident"].as_u64().unwrap() }
    }

    /// Wall time of the round at this share of the sorted rounds: 0.5 is the median.
    pub(crate) fn wall(&self, share: f64) -> Duration {
        at(&self.wall, share)
    }

    /// User and system time of a round, the mean.
    pub(crate) fn cpu(&self) -> Duration {
        self.cpu.iter().sum::<Duration>() / u32::try_from(self.cpu.len()).unwrap()
    }
}

fn at(sorted: &[Duration], share: f64) -> Duration {
    let last = crate::count(sorted.len() - 1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the last")]
    let index = (last * share).round() as usize;
    sorted[index]
}

pub(crate) fn is_wanted(arguments: &[String]) -> bool {
    arguments.first().is_some_and(|first| first == WORD)
}

/// Runs the series that stdin describes, and writes what it took to stdout.
pub(crate) fn main() {
    let mut order = String::new();
    std::io::stdin().read_to_string(&mut order).unwrap();
    let order: Value = serde_json::from_str(&order).unwrap();
    let calls: Vec<Call> = order["calls"].as_array().unwrap().iter().map(read).collect();
    let (mut wall, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..order["rounds"].as_u64().unwrap() {
        let (began, spent) = (now(), spent());
        for call in &calls {
            let output = call.command().output().unwrap_or_else(|error| panic!("{call:?}: {error}"));
            assert!(output.status.success(), "{call:?}: {output:?}");
        }
        wall.push(micros(now() - began));
        cpu.push(micros(self::spent() - spent));
    }
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    println!("{}", json!({ "wall": wall, "cpu": cpu, "resident": peak * 1024 }));
}

fn read(value: &Value) -> Call {
    let (program, arguments, environment) = serde_json::from_value(value.clone()).unwrap();
    Call { program, arguments, environment }
}

fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap().into()
}

/// User and system time of all programs that have ended.
fn spent() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    duration(usage.user_time()) + duration(usage.system_time())
}

fn duration(time: TimeVal) -> Duration {
    let part = Duration::from_micros(time.tv_usec().try_into().unwrap());
    Duration::from_secs(time.tv_sec().try_into().unwrap()) + part
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros().try_into().unwrap()
}
