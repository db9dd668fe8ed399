//! The installer that travels inside user data.
//!
//! Reads its request, learns what machine it is on, does each step that `pitcrew-plan` says, and
//! keeps a journal. Everything serves size: buffers come from one arena, texts are built by
//! [`pitcrew_plan::text::Text`], nothing unwinds or formats, and what every machine has already (a
//! shell, `timeout`, `date`, systemctl) is left to it. Some functions are marked `inline(never)`:
//! in a short stack frame instructions are shorter.
#![no_std]

#[cfg(test)]
extern crate std;

/// The path of a file among what the bootstrap keeps.
macro_rules! state {
    ($name:literal) => {
        concat!("/var/lib/pitcrew-bootstrap/", $name).as_bytes()
    };
}

mod run;

mod codedeploy;
mod pitcrew;
mod ssm;
mod tags;

mod fetch;
mod imds;
mod machine;
mod package;
mod unit;

pub mod sys;

pub use run::run;
