//! What the compiler takes for granted: the functions that it calls to move and compare bytes.
//!
//! Volatile accesses keep it from recognising a loop as the very function that it is in.

/// Copies `count` bytes forwards.
///
/// # Safety
/// As in C: both areas must be of that length and must not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    for at in 0..count {
        // SAFETY: the caller answers for both areas.
        unsafe { to.add(at).write_volatile(*from.add(at)) };
    }
    to
}

/// Copies `count` bytes between areas that may overlap.
///
/// # Safety
/// As in C: both areas must be of that length.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    for step in 0..count {
        let at = if (to as usize) < from as usize { step } else { count - 1 - step };
        // SAFETY: the caller answers for both areas.
        unsafe { to.add(at).write_volatile(*from.add(at)) };
    }
    to
}

/// Fills `count` bytes.
///
/// # Safety
/// As in C: the area must be of that length.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
    for at in 0..count {
        // SAFETY: the caller answers for the area.
        unsafe { to.add(at).write_volatile(byte as u8) };
    }
    to
}

/// Answers 0 when `count` bytes are equal.
///
/// # Safety
/// As in C: both areas must be of that length.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    for at in 0..count {
        // SAFETY: the caller answers for both areas.
        if unsafe { left.add(at).read_volatile() != right.add(at).read_volatile() } {
            return 1;
        }
    }
    0
}
