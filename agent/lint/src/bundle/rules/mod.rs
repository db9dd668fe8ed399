//! The rules over a bundle, `AS…`.

mod appspec;
mod scripts;
mod shims;
mod timeouts;

use super::Bundle;
use crate::rule::Check;

/// All of them, in the order of their ids.
pub(crate) const CHECKS: &[&[Check<Bundle>]] = &[appspec::CHECKS, scripts::CHECKS, shims::CHECKS, timeouts::CHECKS];
