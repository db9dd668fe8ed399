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

/// The name of the agent, its unit and its snap.
const AGENT: &[u8] = b"amazon-ssm-agent";

/// Has the agent run, with credentials from its first breath.
#[inline(never)]
pub(crate) fn start(machine: &mut Machine<'_>) -> Result<Outcome, Failure> {
    if machine.facts.distribution.has_ssm_snap() {
        // Snaps of the image appear a while after boot.
        machine.run(b"timeout 120 snap wait system seed.loaded", b"");
    }
    if !unit::exists(machine, AGENT) {
        install(machine)?;
    } else if unit::is_active(machine, AGENT) && has_registered(machine, machine.path(IDENTITY_FILE), arena::room(4096))
    {
        return Ok(Outcome::Already);
    }
    // An agent whose first call found no credentials sleeps for five minutes and more.
    unit::enable_and_restart(machine, AGENT)?;
    Ok(Outcome::Done)
}

fn install(machine: &mut Machine<'_>) -> Result<Outcome, Failure> {
    let SsmAgent::Install { version } = machine.request.ssm() else { return Err(Failure::Absent) };
    if machine.facts.distribution.has_ssm_snap() && machine.run(b"snap install --classic $0", AGENT) {
        return Ok(Outcome::Done);
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
