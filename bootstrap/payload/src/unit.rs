//! Units of systemd.

use pitcrew_plan::journal::Failure;

use crate::machine::Machine;

/// Whether systemd knows the unit.
pub(crate) fn exists(machine: &mut Machine<'_>, unit: &[u8]) -> bool {
    machine.run(b"systemctl cat $0", unit)
}

/// Whether the unit is up.
pub(crate) fn is_active(machine: &mut Machine<'_>, unit: &[u8]) -> bool {
    machine.run(b"systemctl is-active $0", unit)
}

/// Has the unit start with the machine, and starts it anew now.
pub(crate) fn enable_and_restart(machine: &mut Machine<'_>, unit: &[u8]) -> Result<(), Failure> {
    match machine.run(b"systemctl enable $0 && systemctl restart $0", unit) {
        true => Ok(()),
        false => Err(Failure::Unit),
    }
}
