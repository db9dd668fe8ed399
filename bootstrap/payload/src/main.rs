//! The executable that travels in user data: nothing but the way in and the way out.
#![no_std]
#![no_main]

use pitcrew_bootstrap as _;

/// No step panics; should one, the run ends like any other that was cut short.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    pitcrew_bootstrap::sys::process::exit(101)
}
