//! Which steps a request means on one machine, in order.

use crate::{
    distribution::{Arch, Distribution},
    journal::Failure,
    request::{CodeDeployAgent, Package, Request, SsmAgent},
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
        match self {
            Self::AwaitRole => b"role",
            Self::InstallPitcrew => b"pitcrew",
            Self::StartSsmAgent => b"ssm",
            Self::StartCodeDeployAgent => b"codedeploy",
            Self::ProveSsmAgent => b"ssm-online",
            Self::ProveCodeDeployAgent => b"codedeploy-running",
            Self::Tag => b"tags",
        }
    }

    fn is_wanted(self, request: &Request<'_>) -> bool {
        let ssm = request.ssm() != SsmAgent::Leave;
        let codedeploy = request.codedeploy() != CodeDeployAgent::Leave;
        let tags = request.tags().next().is_some();
        match self {
            Self::AwaitRole => ssm || codedeploy || tags,
            Self::InstallPitcrew => request.packages().next().is_some(),
            Self::StartSsmAgent | Self::ProveSsmAgent => ssm,
            Self::StartCodeDeployAgent | Self::ProveCodeDeployAgent => codedeploy,
            Self::Tag => tags,
        }
    }

    /// Whether this step makes no sense after `failed` has failed. Agents are independent of each
    /// other and of Pitcrew: an operator needs SSM most when something else went wrong. Tags say
    /// that all is well, so any failure keeps them away.
    pub fn is_void_after(self, failed: Self) -> bool {
        match self {
            Self::AwaitRole | Self::InstallPitcrew | Self::StartSsmAgent | Self::StartCodeDeployAgent => false,
            Self::ProveSsmAgent => failed == Self::StartSsmAgent || failed == Self::AwaitRole,
            Self::ProveCodeDeployAgent => failed == Self::StartCodeDeployAgent,
            Self::Tag => true,
        }
    }
}

/// The steps that `request` means on the machine of `facts`, in order.
///
/// # Errors
/// [`Failure::NoPackage`] when Pitcrew is wanted but none of its packages fits the machine.
pub fn steps(request: &Request<'_>, facts: &Facts<'_>) -> Result<impl Iterator<Item = Step>, Failure> {
    if request.packages().next().is_some() {
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
    request.packages().find(|package| package.arch == facts.arch && package.kind == kind).ok_or(Failure::NoPackage)
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
    fn any_failure_keeps_the_tags_away_but_agents_do_not_wait_for_each_other() {
        for failed in Step::ALL {
            assert!(Step::Tag.is_void_after(failed));
            assert!(!Step::StartSsmAgent.is_void_after(failed));
            assert!(!Step::StartCodeDeployAgent.is_void_after(failed));
        }
        assert!(Step::ProveSsmAgent.is_void_after(Step::StartSsmAgent));
        assert!(!Step::ProveSsmAgent.is_void_after(Step::StartCodeDeployAgent));
    }
}
