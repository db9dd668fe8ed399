//! Units of systemd.

use pitcrew_plan::journal::Failure;

use crate::machine::Machine;

/// Whether systemd knows the unit.
pub(crate) fn exists(machine: &mut Machine<'_>, unit: &[u8]) -> bool {
    machine.run(b"systemctl\0cat\0", unit)
}

/// Whether the unit is up.
pub(crate) fn is_active(machine: &mut Machine<'_>, unit: &[u8]) -> bool {
    machine.run(b"systemctl\0is-active\0", unit)
}

/// Has the unit start with the machine, and starts it anew now.
pub(crate) fn enable_and_restart(machine: &mut Machine<'_>, unit: &[u8]) -> Result<(), Failure> {
    let is_up = machine.run(b"systemctl\0enable\0", unit) && machine.run(b"systemctl\0restart\0", unit);
    if is_up { Ok(()) } else { Err(Failure::Unit) }
}
