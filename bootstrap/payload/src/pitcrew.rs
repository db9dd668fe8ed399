//! The step that installs Pitcrew itself.

use pitcrew_plan::{
    journal::{Failure, Outcome},
    step,
};

use crate::{
    machine::Machine,
    package,
    sys::file::{self, File},
};

/// Installs Pitcrew's package, unless the very same one is there already.
#[inline(never)]
pub(crate) fn install(machine: &mut Machine<'_>) -> Result<Outcome, Failure> {
    let wanted = step::package(&machine.request, &machine.facts)?;
    let mark = machine.path(state!("pitcrew"));
    let is_marked = file::read(mark, &mut [0; 64]) == wanted.sha256;
    if is_marked && File::open(machine.path(b"/usr/bin/pitcrew")).is_some() {
        return Ok(Outcome::Already);
    }
    package::install(machine, wanted.url, Some(wanted.sha256))?;
    file::write(mark, wanted.sha256).ok_or(Failure::Disk)?;
    Ok(Outcome::Done)
}
