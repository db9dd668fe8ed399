//! Says in words what a step will do on a machine, for `pitcrew bootstrap plan`.

use crate::{
    distribution::{Distribution, Family},
    location,
    request::{CodeDeployAgent, Request, SsmAgent},
    step::{Facts, Step, package},
    text::Text,
};

/// Writes one sentence that says what `step` does, without a line feed.
pub fn explain(step: Step, request: &Request<'_>, facts: &Facts<'_>, out: &mut Text<'_>) {
    let mut room = [0; 1024];
    let mut url = Text::new(&mut room);
    let distribution = facts.distribution;
    match step {
        Step::AwaitRole => {
            out.put(b"wait until the instance's role has credentials");
        }
        Step::InstallPitcrew => {
            out.put(b"fetch ").put(package(request, facts).map_or(b"", |package| package.url));
            out.put(b", check its SHA-256, install it with ").put(distribution.manager().name());
        }
        Step::StartSsmAgent => {
            out.put(b"enable the SSM agent of the image and start it anew");
            match request.ssm() {
                SsmAgent::Leave | SsmAgent::Ensure => {
                    out.put(b"; fail where there is none");
                }
                SsmAgent::Install { version } => {
                    location::ssm_package(request, facts, version, &mut url);
                    out.put(b"; where there is none, ");
                    if distribution.has_ssm_snap() {
                        out.put(b"install the snap where snapd is, else ");
                    }
                    out.put(b"fetch ").put(url.bytes()).put(b", check its SHA-256, install it with ");
                    out.put(distribution.manager().name());
                }
            }
        }
        Step::StartCodeDeployAgent => {
            if request.agent_config().next().is_some() {
                out.put(b"write codedeployagent.yml, ");
            }
            let key = match request.codedeploy() {
                CodeDeployAgent::Leave | CodeDeployAgent::Ensure => b"",
                CodeDeployAgent::V1 => location::CODEDEPLOY_V1_MANIFEST,
                CodeDeployAgent::V2 => location::CODEDEPLOY_V2_INSTALLER,
            };
            location::codedeploy_object(request, facts, key, &mut url);
            match request.codedeploy() {
                CodeDeployAgent::Leave | CodeDeployAgent::Ensure => {
                    out.put(b"enable and start the CodeDeploy agent of the image; fail where there is none");
                }
                CodeDeployAgent::V1 => {
                    out.put(b"install CodeDeploy agent 1.x as ")
                        .put(url.bytes())
                        .put(b" names it, enable and start it");
                }
                CodeDeployAgent::V2 => {
                    out.put(b"install CodeDeploy agent 2.x by ").put(url.bytes());
                    if distribution.takes_codedeploy_v1() {
                        out.put(b" (1.x where that fails)");
                    }
                    out.put(b", enable and start it");
                }
            }
        }
        Step::ProveSsmAgent => {
            out.put(b"wait until the SSM agent has registered ").put(facts.instance);
        }
        Step::ProveCodeDeployAgent => {
            out.put(b"wait until the CodeDeploy agent runs and stays up");
        }
        Step::Tag => {
            location::ec2(request, facts, &mut url);
            out.put(b"set ").number(request.tags().count() as u64).put(b" tags in one call to ").put(url.bytes());
            let mut separator: &[u8] = b": ";
            for tag in request.tags() {
                out.put(separator).put(tag.key).put(b"=").put(tag.value);
                separator = b", ";
            }
        }
    }
}

impl Distribution {
    /// The releases that are known by a short name, for `--as`.
    pub const NAMED: [(&'static str, Self); 18] = {
        const fn of(family: Family, release: u32) -> Distribution {
            Distribution { family, release }
        }
        [
            ("al2", of(Family::AmazonLinux2, 200)),
            ("al2023", of(Family::AmazonLinux2023, 202_300)),
            ("ubuntu20.04", of(Family::Ubuntu, 2004)),
            ("ubuntu22.04", of(Family::Ubuntu, 2204)),
            ("ubuntu24.04", of(Family::Ubuntu, 2404)),
            ("ubuntu26.04", of(Family::Ubuntu, 2604)),
            ("debian12", of(Family::Debian, 1200)),
            ("debian13", of(Family::Debian, 1300)),
            ("rhel8", of(Family::RedHat, 800)),
            ("rhel9", of(Family::RedHat, 900)),
            ("rhel10", of(Family::RedHat, 1000)),
            ("rocky8", of(Family::RedHat, 800)),
            ("rocky9", of(Family::RedHat, 900)),
            ("rocky10", of(Family::RedHat, 1000)),
            ("alma8", of(Family::RedHat, 800)),
            ("alma9", of(Family::RedHat, 900)),
            ("alma10", of(Family::RedHat, 1000)),
            ("sles15", of(Family::Suse, 1500)),
        ]
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{distribution::Arch, step::steps};
    use std::{string::String, vec::Vec};

    fn plan(text: &str, name: &str) -> Vec<String> {
        let request = Request::parse(text.as_bytes()).unwrap();
        let (_, distribution) = Distribution::NAMED.into_iter().find(|(known, _)| *known == name).unwrap();
        let facts = Facts {
            distribution,
            arch: Arch::X86_64,
            instance: b"i-1",
            region: b"eu-west-1",
            domain: b"amazonaws.com",
        };
        steps(&request, &facts)
            .unwrap()
            .map(|step| {
                let mut room = [0; 1024];
                let mut out = Text::new(&mut room);
                explain(step, &request, &facts, &mut out);
                assert!(!out.is_overflowed());
                String::from_utf8(out.bytes().into()).unwrap()
            })
            .collect()
    }

    #[test]
    fn a_full_request_reads_as_seven_sentences() {
        let text = "pitcrew-bootstrap 1\npackage x86_64 deb https://example.com/p.deb aa\nssm 3.3.1.0\n\
            codedeploy 2\nconfig :max_revisions: 2\ntag pitcrew%3Aready true\ntag a b\n";
        assert_eq!(
            plan(text, "ubuntu24.04"),
            [
                "wait until the instance's role has credentials",
                "fetch https://example.com/p.deb, check its SHA-256, install it with apt-get",
                "enable the SSM agent of the image and start it anew; where there is none, install the snap where snapd is, \
                 else fetch https://s3.eu-west-1.amazonaws.com/amazon-ssm-eu-west-1/3.3.1.0/debian_amd64/amazon-ssm-agent.deb, \
                 check its SHA-256, install it with apt-get",
                "write codedeployagent.yml, install CodeDeploy agent 2.x by \
                 https://s3.eu-west-1.amazonaws.com/aws-codedeploy-eu-west-1/latestv2/install (1.x where that fails), \
                 enable and start it",
                "wait until the SSM agent has registered i-1",
                "wait until the CodeDeploy agent runs and stays up",
                "set 2 tags in one call to https://ec2.eu-west-1.amazonaws.com/: pitcrew%3Aready=true, a=b",
            ]
        );
    }

    #[test]
    fn what_is_not_asked_for_is_no_step() {
        assert!(plan("pitcrew-bootstrap 1\n", "al2").is_empty());
        let only_ensure = plan("pitcrew-bootstrap 1\nssm ensure\ncodedeploy ensure\n", "al2023");
        assert_eq!(only_ensure.len(), 5);
        assert!(only_ensure.iter().filter(|sentence| sentence.ends_with("fail where there is none")).count() == 2);
    }

    #[test]
    fn debian_13_has_no_codedeploy_1_to_fall_back_to() {
        let sentences = plan("pitcrew-bootstrap 1\ncodedeploy 2\n", "debian13");
        assert!(!sentences.concat().contains("1.x"));
    }
}
