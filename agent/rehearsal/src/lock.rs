//! Takes locks whose data stays whole whatever happens to their holders.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after another holder has panicked: the panic is reported where it happened.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
