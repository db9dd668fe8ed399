//! Which boot this is: what was remembered by the boot clock makes sense only within one.

use std::path::Path;
use std::{fs, io};

use pitcrew_core::ids::BootId;

/// Where the kernel tells it.
pub const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The id of this boot, from the file where the kernel tells it. Fails where `/proc` is not mounted.
pub fn boot_id(path: &Path) -> io::Result<BootId> {
    let text = fs::read_to_string(path)?;
    Ok(BootId::new(text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_boot_has_one_id() {
        let id = boot_id(Path::new(BOOT_ID)).unwrap();
        assert_eq!(id.as_str().len(), 36, "a UUID: {id}");
        assert_eq!(id, boot_id(Path::new(BOOT_ID)).unwrap());
    }
}
