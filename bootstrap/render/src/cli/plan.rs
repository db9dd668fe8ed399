//! Says what a request means on a machine.

use std::fs;
use std::str::FromStr;

use pitcrew_plan::distribution::{Arch, Distribution};
use pitcrew_plan::explain::explain as explain_step;
use pitcrew_plan::location;
use pitcrew_plan::request::Request;
use pitcrew_plan::step::{Facts, steps};
use pitcrew_plan::text::Text;

use super::CliError;
use crate::pins::Pinned;
use crate::settings::Settings;
use crate::{arch_name, request};

/// A machine to plan for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    distribution: Distribution,
    arch: Arch,
    /// A placeholder where it does not matter.
    region: String,
}

/// Why a machine cannot be planned for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// Not as `--as` wants it.
    #[error("write SYSTEM/ARCH or SYSTEM/ARCH/REGION, with SYSTEM one of {0}, and ARCH x86_64 or aarch64")]
    Unknown(String),
    /// This machine's distribution is not supported.
    #[error("this machine runs no supported distribution; name one with --as, such as al2023/aarch64")]
    Unsupported,
    /// No package of the request fits.
    #[error("none of the [[package]]s is a .{kind} for {arch}")]
    NoPackage {
        /// `deb` or `rpm`.
        kind: String,
        /// Architecture.
        arch: &'static str,
    },
}

impl Machine {
    const ANY_REGION: &str = "REGION";

    /// The machine that this program runs on.
    ///
    /// # Errors
    /// [`MachineError::Unsupported`].
    pub(super) fn this() -> Result<Self, MachineError> {
        let os_release = fs::read("/etc/os-release").unwrap_or_default();
        Ok(Self {
            distribution: Distribution::recognise(&os_release).ok_or(MachineError::Unsupported)?,
            arch: arch(std::env::consts::ARCH).ok_or(MachineError::Unsupported)?,
            region: Self::ANY_REGION.to_owned(),
        })
    }
}

impl FromStr for Machine {
    type Err = MachineError;

    fn from_str(text: &str) -> Result<Self, MachineError> {
        let unknown = || MachineError::Unknown(Distribution::NAMED.map(|(name, _)| name).join(", "));
        let mut parts = text.splitn(3, '/');
        let (system, machine) = parts.next().zip(parts.next()).ok_or_else(unknown)?;
        let (_, distribution) =
            Distribution::NAMED.into_iter().find(|(name, _)| *name == system).ok_or_else(unknown)?;
        let region = parts.next().unwrap_or(Self::ANY_REGION).to_owned();
        Ok(Self { distribution, arch: arch(machine).ok_or_else(unknown)?, region })
    }
}

fn arch(name: &str) -> Option<Arch> {
    [Arch::X86_64, Arch::Aarch64].into_iter().find(|arch| arch_name(*arch) == name)
}

/// The steps, numbered, a line each.
pub(super) fn explain(settings: &Settings, machine: &Machine) -> Result<String, CliError> {
    let text = request::text(settings, &Pinned::without_digests(settings))?;
    let request = Request::parse(&text).map_err(|_| pitcrew_plan::request::Unspeakable)?;
    let facts = Facts {
        distribution: machine.distribution,
        arch: machine.arch,
        instance: b"this instance",
        region: machine.region.as_bytes(),
        domain: location::domain(&machine.region).as_bytes(),
    };
    let planned = steps(&request, &facts).map_err(|_| MachineError::NoPackage {
        kind: String::from_utf8_lossy(machine.distribution.package_kind().name()).into_owned(),
        arch: arch_name(machine.arch),
    })?;
    let mut lines = String::new();
    for (number, step) in (1..).zip(planned) {
        let mut room = vec![0; 16 << 10];
        let mut sentence = Text::new(&mut room);
        explain_step(step, &request, &facts, &mut sentence);
        let sentence = String::from_utf8_lossy(sentence.bytes()).into_owned();
        lines.push_str(&format!("{number}. {sentence}\n"));
    }
    Ok(lines)
}
