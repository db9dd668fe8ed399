//! System calls on x86_64.

use core::arch::asm;

/// Numbers, from the kernel's `arch/x86/entry/syscalls/syscall_64.tbl`.
pub(super) mod number {
    pub(crate) const READ: usize = 0;
    pub(crate) const WRITE: usize = 1;
    pub(crate) const CLOSE: usize = 3;
    pub(crate) const LSEEK: usize = 8;
    pub(crate) const PREAD64: usize = 17;
    pub(crate) const NANOSLEEP: usize = 35;
    pub(crate) const SOCKET: usize = 41;
    pub(crate) const CONNECT: usize = 42;
    pub(crate) const SETSOCKOPT: usize = 54;
    pub(crate) const CLONE: usize = 56;
    pub(crate) const EXECVE: usize = 59;
    pub(crate) const WAIT4: usize = 61;
    pub(crate) const FLOCK: usize = 73;
    pub(crate) const CLOCK_GETTIME: usize = 228;
    pub(crate) const EXIT_GROUP: usize = 231;
    pub(crate) const OPENAT: usize = 257;
    pub(crate) const MKDIRAT: usize = 258;
    pub(crate) const UNLINKAT: usize = 263;
    pub(crate) const DUP3: usize = 292;
    pub(crate) const MEMFD_CREATE: usize = 319;
    pub(crate) const STATX: usize = 332;
}

/// Enters the kernel with three arguments.
///
/// # Safety
/// The arguments must be what the call of this number takes.
pub(super) unsafe fn call3(number: usize, a: usize, b: usize, c: usize) -> isize {
    let answer;
    // SAFETY: the caller answers for the arguments; the kernel changes only these registers.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => answer,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            lateout("rcx") _,
            lateout("r11") _,
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
    // SAFETY: the caller answers for the arguments; the kernel changes only these registers.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => answer,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            in("r8") e,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer
}

// The kernel enters with the stack at argc; the call keeps it aligned to 16 bytes.
#[cfg(feature = "elf")]
core::arch::global_asm!(
    ".section .text._start,\"ax\",@progbits",
    ".globl _start",
    "_start:",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {enter}",
    enter = sym super::start::enter,
);
