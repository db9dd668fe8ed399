//! System calls on aarch64.

use core::arch::asm;

/// Numbers, from the kernel's `include/uapi/asm-generic/unistd.h`.
pub(super) mod number {
    pub(crate) const DUP3: usize = 24;
    pub(crate) const FLOCK: usize = 32;
    pub(crate) const MKDIRAT: usize = 34;
    pub(crate) const UNLINKAT: usize = 35;
    pub(crate) const OPENAT: usize = 56;
    pub(crate) const CLOSE: usize = 57;
    pub(crate) const LSEEK: usize = 62;
    pub(crate) const READ: usize = 63;
    pub(crate) const WRITE: usize = 64;
    pub(crate) const PREAD64: usize = 67;
    pub(crate) const EXIT_GROUP: usize = 94;
    pub(crate) const NANOSLEEP: usize = 101;
    pub(crate) const CLOCK_GETTIME: usize = 113;
    pub(crate) const SOCKET: usize = 198;
    pub(crate) const CONNECT: usize = 203;
    pub(crate) const SETSOCKOPT: usize = 208;
    pub(crate) const CLONE: usize = 220;
    pub(crate) const EXECVE: usize = 221;
    pub(crate) const WAIT4: usize = 260;
    pub(crate) const MEMFD_CREATE: usize = 279;
    pub(crate) const STATX: usize = 291;
}

/// Enters the kernel with three arguments.
///
/// # Safety
/// The arguments must be what the call of this number takes.
pub(super) unsafe fn call3(number: usize, a: usize, b: usize, c: usize) -> isize {
    let answer;
    // SAFETY: the caller answers for the arguments; the kernel changes only `x0`.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a => answer,
            in("x1") b,
            in("x2") c,
            options(nostack),
        );
    }
    answer
}

/// Enters the kernel with five arguments.
///
/// # Safety
/// The arguments must be what the call of this number takes.
pub(super) unsafe fn call5(number: usize, a: usize, b: usize, c: usize, d: usize, e: usize) -> isize {
    let answer;
    // SAFETY: the caller answers for the arguments; the kernel changes only `x0`.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a => answer,
            in("x1") b,
            in("x2") c,
            in("x3") d,
            in("x4") e,
            options(nostack),
        );
    }
    answer
}

// The kernel enters with the stack at argc, aligned to 16 bytes.
#[cfg(feature = "elf")]
core::arch::global_asm!(
    ".section .text._start,\"ax\",@progbits",
    ".globl _start",
    "_start:",
    "mov x0, sp",
    "bl {enter}",
    enter = sym super::start::enter,
);
