//! The steps about the CodeDeploy agent.

use pitcrew_plan::{
    journal::{Failure, Outcome},
    location::{self, CODEDEPLOY_V1_MANIFEST, CODEDEPLOY_V2_INSTALLER},
    request::CodeDeployAgent,
    retry::{TRIES, Trial},
};

use crate::{
    fetch,
    machine::Machine,
    package,
    sys::{Path, arena, file, time::sleep_ms},
    unit,
};

const UNIT: &[u8] = b"codedeploy-agent";
const CONFIG_FILE: &[u8] = b"/etc/codedeploy-agent/conf/codedeployagent.yml";

/// Has the agent run with the configuration that was asked for.
#[inline(never)]
pub(crate) fn start(machine: &mut Machine<'_>) -> Result<Outcome, Failure> {
    let is_configured = configure(machine)?;
    if !unit::exists(machine, UNIT) {
        install(machine)?;
    } else if is_configured && unit::is_active(machine, UNIT) {
        return Ok(Outcome::Already);
    }
    unit::enable_and_restart(machine, UNIT)?;
    Ok(Outcome::Done)
}

/// Writes the configuration file; `true` when there was nothing to write.
fn configure(machine: &mut Machine<'_>) -> Result<bool, Failure> {
    let mut wanted = arena::text(4096);
    for line in machine.request.agent_config() {
        wanted.put(line).put(b"\n");
    }
    let path = machine.path(CONFIG_FILE);
    if wanted.bytes().is_empty() || file::read(path, arena::room(4096)) == wanted.bytes() {
        return Ok(true);
    }
    file::make_way(path);
    file::write(path, wanted.bytes()).ok_or(Failure::Disk)?;
    Ok(false)
}

fn install(machine: &mut Machine<'_>) -> Result<Outcome, Failure> {
    match machine.request.codedeploy() {
        CodeDeployAgent::Leave | CodeDeployAgent::Ensure => Err(Failure::Absent),
        CodeDeployAgent::V1 => install_v1(machine),
        CodeDeployAgent::V2 => {
            let done = install_v2(machine);
            // Not every region and not every distribution has 2.x yet.
            let is_lacking = matches!(done, Err(Failure::Refused | Failure::Missing | Failure::Install));
            if is_lacking && machine.facts.distribution.takes_codedeploy_v1() { install_v1(machine) } else { done }
        }
    }
}

/// Installs 2.x by its own installer, a shell script.
fn install_v2(machine: &mut Machine<'_>) -> Result<Outcome, Failure> {
    let installer = download(machine, CODEDEPLOY_V2_INSTALLER)?;
    machine.retry(2, &mut |machine| match machine.run(b"sh $0 auto", installer.bytes()) {
        true => Trial::Ended(()),
        false => Trial::Again(Failure::Install),
    })
}

/// Installs 1.x by the manifest, which names the newest package of each kind.
fn install_v1(machine: &mut Machine<'_>) -> Result<Outcome, Failure> {
    let manifest = file::read(download(machine, CODEDEPLOY_V1_MANIFEST)?, arena::room(2048));
    let key = location::codedeploy_v1_package(manifest, machine.facts.distribution.package_kind());
    let mut url = arena::text(512);
    location::codedeploy_object(&machine.request, &machine.facts, key.ok_or(Failure::Missing)?, &mut url);
    package::install(machine, url.bytes(), machine.request.pinned(url.bytes()))
}

fn download(machine: &mut Machine<'_>, key: &[u8]) -> Result<Path, Failure> {
    let to = machine.path(state!("download"));
    let mut url = arena::text(512);
    location::codedeploy_object(&machine.request, &machine.facts, key, &mut url);
    fetch::download(machine, url.bytes(), to, machine.request.pinned(url.bytes()))?;
    Ok(to)
}

/// Waits until the agent is up, and up still a little later: one that cannot run ends at once.
pub(crate) fn prove(machine: &mut Machine<'_>) -> Result<Outcome, Failure> {
    machine.retry(TRIES, &mut |machine| {
        if unit::is_active(machine, UNIT) {
            sleep_ms(u64::from(machine.request.pace_ms()) * 2);
            if unit::is_active(machine, UNIT) {
                return Trial::Ended(());
            }
        }
        Trial::Again(Failure::Unit)
    })
}
