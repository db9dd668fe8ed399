//! The allocator: one fixed area, handed out piece by piece and never taken back.
//!
//! A run is short and its tries are counted, so that nothing needs to be freed; pages that nobody
//! touches cost nothing.

use core::{
    cell::UnsafeCell,
    sync::atomic::{AtomicUsize, Ordering},
};

use pitcrew_plan::text::Text;

const SIZE: usize = 32 << 20;

struct Arena(UnsafeCell<[u8; SIZE]>);

// SAFETY: every byte is handed out once, so that no two threads can meet.
unsafe impl Sync for Arena {}

static ARENA: Arena = Arena(UnsafeCell::new([0; SIZE]));
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// `size` zeroed bytes; none at all when the arena is used up.
#[inline(never)]
pub fn room(size: usize) -> &'static mut [u8] {
    let begins = TAKEN.fetch_add(size, Ordering::Relaxed);
    if begins > SIZE - size {
        return &mut [];
    }
    // SAFETY: the bytes lie in the arena, and the counter has left them to this call alone.
    unsafe { core::slice::from_raw_parts_mut(ARENA.0.get().cast::<u8>().add(begins), size) }
}

/// An empty text with room for `size` bytes.
#[inline(never)]
pub fn text(size: usize) -> Text<'static> {
    Text::new(room(size))
}
