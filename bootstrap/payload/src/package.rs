//! Installs package files with the distribution's package manager.

use pitcrew_plan::{
    distribution::{PackageKind, Remedy},
    journal::Failure,
    retry::Trial,
};

use crate::{fetch, machine::Machine, sys::file};

/// Tries to install: mirrors and locks recover, a broken package does not.
const TRIES: u32 = 4;

/// Downloads the package at `url`, checks it, and installs it.
pub(crate) fn install(machine: &mut Machine<'_>, url: &[u8], sha256: Option<&[u8]>) -> Result<(), Failure> {
    let distribution = machine.facts.distribution;
    // apt tells a file from a package's name by its end.
    let file = machine.state(match distribution.package_kind() {
        PackageKind::Deb => b"/package.deb",
        PackageKind::Rpm => b"/package.rpm",
    });
    fetch::download(machine, url, file, sha256)?;
    machine.retry(TRIES, &mut |machine| {
        if machine.run(distribution.manager().install(), file.bytes()) {
            return Trial::Ended(());
        }
        match distribution.manager().remedy() {
            Remedy::Directly(command) if machine.run(command, file.bytes()) => return Trial::Ended(()),
            Remedy::Directly(_) => {}
            Remedy::Refresh(command) => {
                machine.run(command, b"");
            }
        }
        Trial::Again(Failure::Install)
    })?;
    file::remove(file);
    Ok(())
}
