//! The cases that the targets are put through: the same as in the agent's own tests.

#[path = "../../../agent/daemon/tests/wires/cases.rs"]
pub mod cases;
