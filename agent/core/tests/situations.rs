//! Single situations, each with what must come of it: the tables of the design, played in a calm world.

#[path = "situations/stage.rs"]
mod stage;

#[path = "situations/draining.rs"]
mod draining;
