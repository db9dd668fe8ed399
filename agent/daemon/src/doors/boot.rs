//! Which boot this is: what was remembered by the boot clock makes sense only within one.

use std::{fs, io};

use pitcrew_core::ids::BootId;

const PATH: &str = "/proc/sys/kernel/random/boot_id";

/// The kernel's id of this boot. Fails where `/proc` is not mounted.
pub fn boot_id() -> io::Result<BootId> {
    let text = fs::read_to_string(PATH)?;
    Ok(BootId::new(text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_boot_has_one_id() {
        let id = boot_id().unwrap();
        assert_eq!(id.as_str().len(), 36, "a UUID: {id}");
        assert_eq!(id, boot_id().unwrap());
    }
}
