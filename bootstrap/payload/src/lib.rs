//! The installer that travels inside user data.
//!
//! Reads its request, learns what machine it is on, does each step that `pitcrew-plan` says, and
//! keeps a journal. There is no allocator, no unwinding and no formatting: buffers live on the
//! stack, texts are built by [`pitcrew_plan::text::Text`], and whatever may be missing is an
//! `Option`.
#![no_std]

#[cfg(test)]
extern crate std;

/// The path of a file among what the bootstrap keeps.
macro_rules! state {
    ($name:literal) => {
        concat!("/var/lib/pitcrew/bootstrap/", $name).as_bytes()
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
