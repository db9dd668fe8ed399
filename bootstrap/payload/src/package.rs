//! Installs package files with the distribution's package manager.

use pitcrew_plan::{
    distribution::PackageKind,
    journal::{Failure, Outcome},
    retry::Trial,
};

use crate::{fetch, machine::Machine, sys::file};

/// Tries to install: mirrors and locks recover, a broken package does not.
const TRIES: u32 = 4;

/// Downloads the package at `url`, checks it, and installs it.
pub(crate) fn install(machine: &mut Machine<'_>, url: &[u8], sha256: Option<&[u8]>) -> Result<Outcome, Failure> {
    let distribution = machine.facts.distribution;
    // apt tells a file from a package's name by its end.
    let file = machine.path(match distribution.package_kind() {
        PackageKind::Deb => state!("package.deb"),
        PackageKind::Rpm => state!("package.rpm"),
    });
    fetch::download(machine, url, file, sha256)?;
    machine.retry(TRIES, &mut |machine| match machine.run(distribution.manager().install(), file.bytes()) {
        true => Trial::Ended(()),
        false => Trial::Again(Failure::Install),
    })?;
    file::remove(file);
    Ok(Outcome::Done)
}
