//! The whole run: facts, steps in order, journal, and what is said when it ends.

use pitcrew_plan::{
    distribution::{Arch, Distribution, Family},
    journal::{self, Failure, Outcome},
    json,
    request::Request,
    step::{Facts, Step, steps},
};

use crate::{
    codedeploy, imds,
    machine::Machine,
    pitcrew, ssm,
    sys::{
        Path, arena,
        file::{self, File},
        process::Environment,
        time::{monotonic_ms, random, unix},
    },
    tags,
};

#[cfg(target_arch = "aarch64")]
const ARCH: Arch = Arch::Aarch64;
#[cfg(target_arch = "x86_64")]
const ARCH: Arch = Arch::X86_64;

/// Does what `request` says, and answers with an exit status: 0 when every step is done.
pub fn run(request: &[u8], environment: Environment) -> usize {
    match begin(request, environment) {
        Outcome::Done | Outcome::Already => 0,
        Outcome::Failed(_) => 1,
    }
}

fn begin(request: &[u8], environment: Environment) -> Outcome {
    let Some(request) = Request::accept(request) else { return unable(Failure::Request) };
    let began = monotonic_ms();
    let state = |name: &[u8]| Path::new([request.root(), journal::STATE_DIRECTORY.as_bytes(), name]);
    let path = state(b"/journal");
    file::make_way(path);
    let (Some(journal), Some(output)) = (File::append(path), File::append(state(b"/output.log"))) else {
        return unable(Failure::Disk);
    };
    if journal.lock().is_none() {
        return unable(Failure::Running);
    }
    let mut machine = Machine {
        request,
        facts: Facts {
            distribution: Distribution { family: Family::Debian, release: 0 },
            arch: ARCH,
            instance: b"-",
            region: b"",
            domain: b"",
        },
        environment,
        output,
        output_begins: 0,
        seed: random(),
        until: began + u64::from(request.deadline_s()) * 1000,
        clock_error: 0,
        detail: arena::text(256),
    };
    let known = learn(&mut machine);
    let mut line = arena::text(128);
    line.put(b"run ").put(machine.facts.instance).put(b" ").number(unix()).put(b"\n");
    put(&journal, line.bytes());
    write(&journal, b"facts", began, outcome(known.map(|()| Outcome::Done)), &machine);
    let end = match known {
        Ok(()) => all_steps(&mut machine, &journal),
        Err(failure) => Outcome::Failed(failure),
    };
    machine.detail.clear();
    write(&journal, b"end", began, end, &machine);
    end
}

/// Ends a run that has no journal to write to.
fn unable(failure: Failure) -> Outcome {
    file::say(b"pitcrew-bootstrap: end failed 0 ");
    file::say(failure.word());
    file::say(b"\n");
    Outcome::Failed(failure)
}

fn outcome(result: Result<Outcome, Failure>) -> Outcome {
    result.unwrap_or_else(Outcome::Failed)
}

/// Finds out what machine this is.
fn learn(machine: &mut Machine<'_>) -> Result<(), Failure> {
    let os_release = file::read(machine.path(b"/etc/os-release"), arena::room(2048));
    machine.facts.distribution = Distribution::recognise(os_release).ok_or(Failure::Distribution)?;
    let document = imds::await_text(machine, b"dynamic/instance-identity/document")?;
    let field = |key| json::string(document, key).ok_or(Failure::Imds);
    machine.facts.instance = field(b"instanceId")?;
    machine.facts.region = field(b"region")?;
    machine.facts.domain = imds::await_text(machine, b"meta-data/services/domain")?.trim_ascii();
    Ok(())
}

fn all_steps(machine: &mut Machine<'_>, journal: &File) -> Outcome {
    let (request, facts) = (machine.request, machine.facts);
    let steps = match steps(&request, &facts) {
        Ok(steps) => steps,
        Err(failure) => return Outcome::Failed(failure),
    };
    let mut end = Outcome::Already;
    let mut failed = [None; Step::ALL.len()];
    for (step, mark) in steps.zip(0..) {
        if failed.iter().flatten().any(|failed| step.is_void_after(*failed)) {
            continue;
        }
        let began = monotonic_ms();
        machine.detail.clear();
        let outcome = outcome(take(step, machine));
        write(journal, step.name(), began, outcome, machine);
        match (outcome, end) {
            (Outcome::Failed(_), _) => {
                if let Some(place) = failed.get_mut(mark) {
                    *place = Some(step);
                }
                if !matches!(end, Outcome::Failed(_)) {
                    end = outcome;
                }
            }
            (Outcome::Done, Outcome::Already) => end = Outcome::Done,
            (Outcome::Done | Outcome::Already, _) => {}
        }
    }
    if let Outcome::Failed(failure) = end {
        tags::tell_failure(machine, failure);
    }
    end
}

fn take(step: Step, machine: &mut Machine<'_>) -> Result<Outcome, Failure> {
    match step {
        Step::AwaitRole => imds::await_role(machine),
        Step::InstallPitcrew => pitcrew::install(machine),
        Step::StartSsmAgent => ssm::start(machine),
        Step::StartCodeDeployAgent => codedeploy::start(machine),
        Step::ProveSsmAgent => ssm::prove(machine),
        Step::ProveCodeDeployAgent => codedeploy::prove(machine),
        Step::Tag => tags::set(machine),
    }
}

/// Writes a line of the journal, and of the console.
fn write(journal: &File, name: &[u8], began: u64, outcome: Outcome, machine: &Machine<'_>) {
    let mut line = arena::text(512);
    line.put(name).put(b" ").put(outcome.word()).put(b" ").number(monotonic_ms() - began);
    if let Outcome::Failed(failure) = outcome {
        line.put(b" ").put(failure.word()).put(b" ").put(machine.detail.bytes());
    }
    line.put(b"\n");
    put(journal, line.bytes());
}

fn put(journal: &File, line: &[u8]) {
    // A full disk must not stop the run; the console still says what happens.
    _ = journal.write(line);
    file::say(b"pitcrew-bootstrap: ");
    file::say(line);
}
