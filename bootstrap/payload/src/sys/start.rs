//! From the kernel's entry to [`crate::run`].

use super::{
    arena, file,
    process::{Environment, exit},
};

unsafe extern "C" {
    // The linker script puts these at the first and behind the last byte of the image, so that
    // their difference is the length of the ELF file.
    static __image_begin: u8;
    static __image_end: u8;
}

/// Where `_start` arrives: `stack` is as the kernel left it, with argc, argv and the environment.
pub(super) extern "C" fn enter(stack: *const usize) -> ! {
    // SAFETY: the kernel puts argc here, then argc arguments, a null, and the environment.
    let (count, first) = unsafe { (*stack, *stack.add(2)) };
    // SAFETY: the same; the environment begins behind the arguments' null.
    let environment = Environment(unsafe { stack.add(count + 2) } as usize);
    let (path, offset) = if count > 1 {
        (first, 0)
    } else {
        let image = (&raw const __image_end) as usize - (&raw const __image_begin) as usize;
        (c"/proc/self/exe".as_ptr() as usize, image)
    };
    // SAFETY: an argument is a string that ends in NUL and lives as long as the process.
    let text = match unsafe { file::open_at(path, 0) } {
        Some(file) => file.read_at(offset, arena::room(16_384)),
        None => b"",
    };
    exit(crate::run(text, environment))
}
