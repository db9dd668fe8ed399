//! The `pitcrew` program.
fn main() {}
