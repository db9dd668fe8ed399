//! The whole run: facts, steps in order, journal, and what is said when it ends.

use pitcrew_plan::{
    distribution::{Arch, Distribution, Family},
    journal::{Failure, Outcome},
    json,
    request::Request,
    step::{Facts, Failed, Step},
    text::trimmed,
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
    let path = |path| Path::new(request.root(), path);
    let journal = path(state!("journal"));
    file::make_way(journal);
    let (Some(journal), Some(output)) = (File::append(journal), File::append(path(state!("output.log")))) else {
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
        detail: arena::text(256),
    };
    let known = learn(&mut machine);
    let mut line = arena::text(128);
    line.fill(b"run $1 ", &[machine.facts.instance]).number(unix()).put(b"\n");
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
    file::say(arena::text(64).fill(b"pitcrew-bootstrap: end failed 0 $1\n", &[failure.word()]).bytes());
    Outcome::Failed(failure)
}

fn outcome(result: Result<Outcome, Failure>) -> Outcome {
    result.unwrap_or_else(Outcome::Failed)
}

/// Finds out what machine this is.
#[inline(never)]
fn learn(machine: &mut Machine<'_>) -> Result<(), Failure> {
    let os_release = file::read(machine.path(b"/etc/os-release"), arena::room(2048));
    machine.facts.distribution = Distribution::recognise(os_release).ok_or(Failure::Distribution)?;
    let document = imds::await_text(machine, b"dynamic/instance-identity/document")?;
    let field = |key| json::string(document, key).ok_or(Failure::Imds);
    machine.facts.instance = field(b"\"instanceId\"")?;
    machine.facts.region = field(b"\"region\"")?;
    machine.facts.domain = trimmed(imds::await_text(machine, b"meta-data/services/domain")?);
    Ok(())
}

#[inline(never)]
fn all_steps(machine: &mut Machine<'_>, journal: &File) -> Outcome {
    let mut end = Outcome::Already;
    let mut failed = Failed::default();
    for step in Step::ALL {
        if !step.is_wanted(&machine.request) || failed.makes_void(step) {
            continue;
        }
        let began = monotonic_ms();
        machine.detail.clear();
        let outcome = outcome(take(step, machine));
        write(journal, step.name(), began, outcome, machine);
        if let Outcome::Failed(_) = outcome {
            failed.add(step);
        }
        end = end.and(outcome);
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
    line.fill(b"$1 $2 ", &[name, outcome.word()]).number(monotonic_ms() - began);
    if let Outcome::Failed(failure) = outcome {
        line.fill(b" $1 $2", &[failure.word(), machine.detail.bytes()]);
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
