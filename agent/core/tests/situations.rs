//! Single situations, each with what must come of it: the tables of the design, played in a calm world.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a stage that cannot go on is a failed test")]

#[path = "situations/stage/mod.rs"]
mod stage;

#[path = "situations/bounds.rs"]
mod bounds;
#[path = "situations/dead.rs"]
mod dead;
#[path = "situations/deployments.rs"]
mod deployments;
#[path = "situations/draining.rs"]
mod draining;
#[path = "situations/elastigroup.rs"]
mod elastigroup;
#[path = "situations/leaving.rs"]
mod leaving;
#[path = "situations/operator.rs"]
mod operator;
#[path = "situations/pace.rs"]
mod pace;
#[path = "situations/promises.rs"]
mod promises;
#[path = "situations/table.rs"]
mod table;
#[path = "situations/trouble.rs"]
mod trouble;
#[path = "situations/view.rs"]
mod view;
