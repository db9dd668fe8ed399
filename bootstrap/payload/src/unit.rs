//! Units of systemd: that of a snap where there is one of this name, else the plain one.

use pitcrew_plan::journal::Failure;

use crate::machine::Machine;

/// Whether systemd knows the unit.
pub(crate) fn exists(machine: &mut Machine<'_>, unit: &[u8]) -> bool {
    machine.run(b"systemctl cat snap.$0.$0 || systemctl cat $0", unit)
}

/// Whether the unit is up.
pub(crate) fn is_active(machine: &mut Machine<'_>, unit: &[u8]) -> bool {
    machine.run(b"systemctl is-active snap.$0.$0 || systemctl is-active $0", unit)
}

/// Has the unit start with the machine, and starts it anew now.
pub(crate) fn enable_and_restart(machine: &mut Machine<'_>, unit: &[u8]) -> Result<(), Failure> {
    match machine.run(b"u=snap.$0.$0; systemctl cat $u || u=$0; systemctl enable $u && systemctl restart $u", unit) {
        true => Ok(()),
        false => Err(Failure::Unit),
    }
}
