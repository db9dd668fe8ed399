//! Which steps a request means on one machine, in order.

use crate::{
    distribution::{Arch, Distribution},
    journal::Failure,
    request::{Package, Request},
    text::{any_word, nth_word},
};

/// What is known of the machine before the first step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts<'a> {
    /// From `/etc/os-release`.
    pub distribution: Distribution,
    /// What this program was built for.
    pub arch: Arch,
    /// `instanceId` of the identity document.
    pub instance: &'a [u8],
    /// `region` of the identity document.
    pub region: &'a [u8],
    /// From `meta-data/services/domain`.
    pub domain: &'a [u8],
}

/// One step. Each is safe to do again, and says `already` when there was nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Wait until the instance's role has credentials: an agent that starts before sleeps for
    /// minutes.
    AwaitRole,
    /// Fetch, check and install Pitcrew's own package.
    InstallPitcrew,
    /// Enable the SSM agent and start it anew; install it first where it is missing.
    StartSsmAgent,
    /// Configure, install, enable and start the CodeDeploy agent.
    StartCodeDeployAgent,
    /// Wait until the SSM agent has registered this instance since it booted.
    ProveSsmAgent,
    /// Wait until the CodeDeploy agent stays up.
    ProveCodeDeployAgent,
    /// Set all tags in one call.
    Tag,
}

impl Step {
    /// All steps, in the order in which they are done.
    pub const ALL: [Self; 7] = [
        Self::AwaitRole,
        Self::InstallPitcrew,
        Self::StartSsmAgent,
        Self::StartCodeDeployAgent,
        Self::ProveSsmAgent,
        Self::ProveCodeDeployAgent,
        Self::Tag,
    ];

    /// The word for it in the journal.
    pub fn name(self) -> &'static [u8] {
        nth_word(b"role pitcrew ssm codedeploy ssm-online codedeploy-running tags", self as usize)
    }

    /// Keys of the request that ask for it.
    fn keys(self) -> &'static [u8] {
        nth_word(b"ssm,codedeploy,tag package ssm codedeploy ssm codedeploy tag", self as usize)
    }

    /// Whether `request` asks for it.
    pub fn is_wanted(self, request: &Request<'_>) -> bool {
        any_word(self.keys(), b',', &mut |key| request.has(key))
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// The steps without which this one makes no sense. Agents are independent of each other and
    /// of Pitcrew: an operator needs SSM most when something else went wrong. Tags say that all is
    /// well, so any failure keeps them away.
    const fn needs(self) -> u8 {
        match self {
            Self::AwaitRole | Self::InstallPitcrew | Self::StartSsmAgent | Self::StartCodeDeployAgent => 0,
            Self::ProveSsmAgent => Self::StartSsmAgent.bit() | Self::AwaitRole.bit(),
            Self::ProveCodeDeployAgent => Self::StartCodeDeployAgent.bit(),
            Self::Tag => u8::MAX,
        }
    }
}

/// The steps that have failed so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Failed(u8);

impl Failed {
    /// Adds a step.
    pub fn add(&mut self, step: Step) {
        self.0 |= step.bit();
    }

    /// Whether `step` makes no sense any more.
    pub fn makes_void(self, step: Step) -> bool {
        self.0 & step.needs() != 0
    }
}

/// The steps that `request` means on the machine of `facts`, in order.
///
/// # Errors
/// [`Failure::NoPackage`] when Pitcrew is wanted but none of its packages fits the machine.
pub fn steps(request: &Request<'_>, facts: &Facts<'_>) -> Result<impl Iterator<Item = Step>, Failure> {
    if Step::InstallPitcrew.is_wanted(request) {
        package(request, facts)?;
    }
    Ok(Step::ALL.into_iter().filter(move |step| step.is_wanted(request)))
}

/// Pitcrew's package for the machine of `facts`.
///
/// # Errors
/// [`Failure::NoPackage`] when none fits.
pub fn package<'a>(request: &Request<'a>, facts: &Facts<'_>) -> Result<Package<'a>, Failure> {
    let kind = facts.distribution.package_kind();
    request.package(facts.arch, kind).ok_or(Failure::NoPackage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::Family;

    #[test]
    fn a_machine_without_a_fitting_package_is_told_at_once() {
        let text = b"pitcrew-bootstrap 1\npackage x86_64 rpm https://example.com/p.rpm aa\n";
        let request = Request::parse(text).unwrap();
        let mut facts = Facts {
            distribution: Distribution { family: Family::Suse, release: 1500 },
            arch: Arch::X86_64,
            instance: b"i-1",
            region: b"eu-west-1",
            domain: b"amazonaws.com",
        };
        assert!(steps(&request, &facts).unwrap().eq([Step::InstallPitcrew]));
        facts.arch = Arch::Aarch64;
        assert_eq!(steps(&request, &facts).err(), Some(Failure::NoPackage));
        facts.arch = Arch::X86_64;
        facts.distribution.family = Family::Ubuntu;
        assert_eq!(steps(&request, &facts).err(), Some(Failure::NoPackage));
    }

    #[test]
    fn each_step_has_its_name() {
        let names = Step::ALL.map(|step| str::from_utf8(step.name()).unwrap());
        assert_eq!(names, ["role", "pitcrew", "ssm", "codedeploy", "ssm-online", "codedeploy-running", "tags"]);
    }

    #[test]
    fn each_step_is_wanted_where_its_key_is_given() {
        let wanted = |line: &str| {
            let text = std::format!("pitcrew-bootstrap 1\n{line}\n");
            let request = Request::parse(text.as_bytes()).unwrap();
            Step::ALL.into_iter().filter(|step| step.is_wanted(&request)).collect::<std::vec::Vec<_>>()
        };
        assert_eq!(wanted("package x86_64 rpm u d"), [Step::InstallPitcrew]);
        assert_eq!(wanted("ssm ensure"), [Step::AwaitRole, Step::StartSsmAgent, Step::ProveSsmAgent]);
        assert_eq!(wanted("codedeploy 2"), [Step::AwaitRole, Step::StartCodeDeployAgent, Step::ProveCodeDeployAgent]);
        assert_eq!(wanted("tag a b"), [Step::AwaitRole, Step::Tag]);
        assert_eq!(wanted("pin a b"), []);
    }

    #[test]
    fn any_failure_keeps_the_tags_away_but_agents_do_not_wait_for_each_other() {
        let after = |step| {
            let mut failed = Failed::default();
            failed.add(step);
            failed
        };
        for failed in Step::ALL {
            assert!(after(failed).makes_void(Step::Tag));
            assert!(!after(failed).makes_void(Step::StartSsmAgent));
            assert!(!after(failed).makes_void(Step::StartCodeDeployAgent));
        }
        assert!(after(Step::StartSsmAgent).makes_void(Step::ProveSsmAgent));
        assert!(!after(Step::StartCodeDeployAgent).makes_void(Step::ProveSsmAgent));
        assert!(Step::ALL.iter().all(|step| !Failed::default().makes_void(*step)));
    }
}
