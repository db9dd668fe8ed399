//! Standard output. That its reader has seen enough (`| head`) is no reason to end a rehearsal, or to fail.

use std::fmt::Display;
use std::io::Write as _;

/// Writes a line.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Writes text as it is.
pub(crate) fn show(text: impl Display) {
    let _ = write!(std::io::stdout(), "{text}");
}
