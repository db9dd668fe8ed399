//! Renders `bootstrap.toml` into user data: an installer and its request in at most 16,384 bytes.
//!
//! ```text
//! settings -> pins (fetch, openpgp) -> request -+
//! payloads (elf) -------------------------------+-> user_data (pack, envelope) -> output
//! appended -------------------------------------+
//! ```

pub mod appended;
pub mod cli;
pub mod elf;
pub mod envelope;
pub mod fetch;
pub mod openpgp;
pub mod output;
pub mod pack;
pub mod payloads;
pub mod pins;
pub mod request;
pub mod settings;
mod time;
pub mod user_data;

pub use pitcrew_plan::distribution::Arch;

/// The name of an architecture, as `uname -m` says it.
fn arch_name(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86_64",
        Arch::Aarch64 => "aarch64",
    }
}
