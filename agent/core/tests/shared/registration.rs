//! A registration of this instance, and who makes it so.

use pitcrew_core::wire::Target;

/// Who changed a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Us,
    /// A call of ours whose answer was lost, or whose caller has died: it may take effect at any time.
    OurGhost,
    Others,
}

pub(crate) fn target(port: u16) -> Target {
    Target { id: "i-1".into(), port, zone: None }
}
