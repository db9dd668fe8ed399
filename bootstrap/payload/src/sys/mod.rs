//! The kernel: the few system calls that the bootstrap needs, each behind a safe function.
//!
//! The only `unsafe` code of the project. Errors are `None`: what matters is said by the caller,
//! who knows what it was trying.
#![allow(unsafe_code, reason = "there is no libc underneath")]

#[cfg(target_arch = "aarch64")]
#[path = "aarch64.rs"]
mod arch;
#[cfg(target_arch = "x86_64")]
#[path = "x86_64.rs"]
mod arch;

pub mod arena;
pub mod file;
pub mod process;
pub mod socket;
pub mod time;

#[cfg(feature = "elf")]
mod memory;
#[cfg(feature = "elf")]
mod start;

use arch::{call3, call5, number};

/// The answer of a system call; `None` for an error.
fn checked(answer: isize) -> Option<usize> {
    usize::try_from(answer).ok()
}

/// A path, with the NUL at its end that the kernel wants.
#[derive(Debug, Clone, Copy)]
pub struct Path(&'static [u8]);

impl Path {
    /// The longest path, NUL included. A longer one becomes the empty path, which nothing has.
    const LONGEST: usize = 512;

    /// The path that `folder` and `name` make, written one behind the other.
    #[inline(never)]
    pub fn new(folder: &[u8], name: &[u8]) -> Self {
        let mut path = arena::text(Self::LONGEST);
        path.fill(b"$1$2\0", &[folder, name]);
        match path.into_bytes() {
            b"" => Self(b"\0"),
            path => Self(path),
        }
    }

    /// The path without its NUL.
    pub fn bytes(&self) -> &'static [u8] {
        self.0.strip_suffix(b"\0").unwrap_or_default()
    }

    fn pointer(&self) -> usize {
        self.0.as_ptr() as usize
    }
}
