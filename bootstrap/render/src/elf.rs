//! Cuts an ELF down to what the kernel loads: user data has no room for section headers.

use crate::Arch;

/// An executable without anything behind its last segment; the request is put there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installer {
    /// Machine that runs it.
    pub arch: Arch,
    /// The file, up to the end of its last segment.
    pub bytes: Vec<u8>,
}

/// Why a file cannot be the installer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// Not a 64-bit little-endian ELF executable.
    #[error("it is no 64-bit little-endian ELF executable")]
    NotElf,
    /// For another machine than it is filed under.
    #[error("it is built for another architecture")]
    OtherMachine,
}

impl Installer {
    /// Takes the executable for `arch` out of the file `bytes`.
    ///
    /// # Errors
    /// [`ElfError`] when it is none, or one for another machine.
    pub fn new(arch: Arch, bytes: &[u8]) -> Result<Self, ElfError> {
        let header = Header::parse(bytes).ok_or(ElfError::NotElf)?;
        if header.machine != machine(arch) {
            return Err(ElfError::OtherMachine);
        }
        let mut bytes = bytes.get(..header.end).ok_or(ElfError::NotElf)?.to_vec();
        // The section headers are gone: their offset, entry size, count and index of names say so.
        for range in [0x28..0x30, 0x3a..0x40] {
            bytes.get_mut(range).ok_or(ElfError::NotElf)?.fill(0);
        }
        Ok(Self { arch, bytes })
    }
}

fn machine(arch: Arch) -> u16 {
    match arch {
        Arch::X86_64 => 62,
        Arch::Aarch64 => 183,
    }
}

struct Header {
    machine: u16,
    /// End of the last segment in the file.
    end: usize,
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Self> {
        const ELF64_LITTLE_ENDIAN: &[u8] = b"\x7fELF\x02\x01";
        if !bytes.starts_with(ELF64_LITTLE_ENDIAN) {
            return None;
        }
        let table = usize::try_from(u64_at(bytes, 0x20)?).ok()?;
        let entry_size = usize::from(u16_at(bytes, 0x36)?);
        let entries = usize::from(u16_at(bytes, 0x38)?);
        let mut end = table.checked_add(entry_size.checked_mul(entries)?)?;
        for index in 0..entries {
            let entry = table.checked_add(entry_size.checked_mul(index)?)?;
            let offset = u64_at(bytes, entry.checked_add(0x08)?)?;
            let size = u64_at(bytes, entry.checked_add(0x20)?)?;
            // A segment without bytes in the file may claim any offset there.
            if size > 0 {
                end = end.max(usize::try_from(offset.checked_add(size)?).ok()?);
            }
        }
        Some(Self { machine: u16_at(bytes, 0x12)?, end })
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|field| u16::from_le_bytes(*field))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|field| u64::from_le_bytes(*field))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A well-formed executable with `body` as its only segment's tail, and junk behind it.
    pub(crate) fn executable(arch: Arch, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 0x78];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[0x12..0x14].copy_from_slice(&machine(arch).to_le_bytes());
        bytes[0x20..0x28].copy_from_slice(&0x40u64.to_le_bytes());
        bytes[0x28..0x30].copy_from_slice(&0x9999u64.to_le_bytes());
        bytes[0x36..0x38].copy_from_slice(&0x38u16.to_le_bytes());
        bytes[0x38..0x3a].copy_from_slice(&1u16.to_le_bytes());
        let size = 0x78 + body.len() as u64;
        bytes[0x60..0x68].copy_from_slice(&size.to_le_bytes());
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(b"section headers");
        bytes
    }

    #[test]
    fn everything_behind_the_last_segment_is_dropped() {
        let installer = Installer::new(Arch::X86_64, &executable(Arch::X86_64, b"code")).unwrap();
        assert!(installer.bytes.ends_with(b"code"));
        assert_eq!(installer.bytes[0x28..0x30], [0; 8]);
    }

    #[test]
    fn segment_without_bytes_in_the_file_adds_none() {
        let mut bytes = executable(Arch::X86_64, b"code");
        // A second entry: an arena at an offset far behind the end of the file.
        bytes[0x38..0x3a].copy_from_slice(&2u16.to_le_bytes());
        let arena = [[0; 0x08], 0x9_0000u64.to_le_bytes(), [0; 8], [0; 8], 0u64.to_le_bytes(), [0; 8], [0; 8]].concat();
        bytes.splice(0x78..0x78, arena);
        bytes[0x60..0x68].copy_from_slice(&(0x78 + 0x38 + 4u64).to_le_bytes());
        assert!(Installer::new(Arch::X86_64, &bytes).unwrap().bytes.ends_with(b"code"));
    }

    #[test]
    fn executable_of_the_other_machine_is_refused() {
        let other = executable(Arch::Aarch64, b"code");
        assert_eq!(Installer::new(Arch::X86_64, &other).unwrap_err(), ElfError::OtherMachine);
    }

    #[test]
    fn truncated_or_lying_headers_are_no_elf() {
        let good = executable(Arch::X86_64, b"code");
        for end in 0..0x78 {
            assert_eq!(Installer::new(Arch::X86_64, &good[..end]).unwrap_err(), ElfError::NotElf, "{end} bytes");
        }
        for field in [0x20, 0x48, 0x60] {
            let mut lying = good.clone();
            lying[field..field + 8].fill(0xff);
            assert_eq!(Installer::new(Arch::X86_64, &lying).unwrap_err(), ElfError::NotElf, "field {field:#x}");
        }
    }
}
