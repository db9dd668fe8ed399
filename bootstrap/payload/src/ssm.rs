//! The steps about the SSM agent.

use pitcrew_plan::{
    journal::{Failure, Outcome},
    location,
    request::SsmAgent,
    ssm::{IDENTITY_FILE, is_registered},
};

use crate::{
    machine::Machine,
    package,
    sys::{
        Path, arena, file,
        time::{monotonic_ms, since_boot, sleep_ms, unix},
    },
    unit,
};

/// The snap's unit before the package's: where both exist, the snap is the one that is meant.
const UNITS: [&[u8]; 2] = [b"snap.amazon-ssm-agent.amazon-ssm-agent.service", b"amazon-ssm-agent.service"];

/// Has the agent run, with credentials from its first breath.
#[inline(never)]
pub(crate) fn start(machine: &mut Machine<'_>) -> Result<Outcome, Failure> {
    if machine.facts.distribution.has_ssm_snap() {
        // Snaps of the image appear a while after boot.
        machine.run(b"snap wait system seed.loaded", b"");
    }
    let found = match find(machine) {
        Some(unit) => unit,
        None => {
            install(machine)?;
            find(machine).ok_or(Failure::Unit)?
        }
    };
    if unit::is_active(machine, found) && has_registered(machine, machine.path(IDENTITY_FILE), arena::room(4096)) {
        return Ok(Outcome::Already);
    }
    // An agent whose first call found no credentials sleeps for five minutes and more.
    unit::enable_and_restart(machine, found)?;
    Ok(Outcome::Done)
}

fn find(machine: &mut Machine<'_>) -> Option<&'static [u8]> {
    UNITS.into_iter().find(|unit| unit::exists(machine, unit))
}

fn install(machine: &mut Machine<'_>) -> Result<(), Failure> {
    let SsmAgent::Install { version } = machine.request.ssm() else { return Err(Failure::Absent) };
    if machine.facts.distribution.has_ssm_snap() && machine.run(b"snap install --classic amazon-ssm-agent", b"") {
        return Ok(());
    }
    let mut url = arena::text(512);
    location::ssm_package(&machine.request, &machine.facts, version, &mut url);
    // Without a pin nothing is installed: no file has the digest of nothing.
    let pin = machine.request.pinned(url.bytes()).unwrap_or_default();
    package::install(machine, url.bytes(), Some(pin))
}

/// Waits until the agent has registered this instance.
pub(crate) fn prove(machine: &mut Machine<'_>) -> Result<Outcome, Failure> {
    let (path, room) = (machine.path(IDENTITY_FILE), arena::room(4096));
    let mut outcome = Outcome::Already;
    while !has_registered(machine, path, room) {
        if monotonic_ms() >= machine.until {
            return Err(Failure::Offline);
        }
        outcome = Outcome::Done;
        sleep_ms(machine.request.pace_ms().into());
    }
    Ok(outcome)
}

fn has_registered(machine: &Machine<'_>, path: Path, room: &mut [u8]) -> bool {
    let booted = unix().saturating_sub(since_boot());
    is_registered(file::read(path, room), machine.facts.instance, file::written(path), booted)
}
