//! Where things are: the URLs of buckets and APIs, by region and partition.

use crate::{
    distribution::PackageKind,
    request::Request,
    step::Facts,
    text::{Text, leading_number, number},
};

/// The installer of CodeDeploy agent 2.x: a shell script whose argument is `auto`.
pub const CODEDEPLOY_V2_INSTALLER: &[u8] = b"latestv2/install";
/// The manifest of CodeDeploy agent 1.x: JSON that names the newest package of each kind.
pub const CODEDEPLOY_V1_MANIFEST: &[u8] = b"latest/LATEST_VERSION";

/// The DNS suffix of AWS's services in `region`, where the metadata service cannot be asked
/// (the payload asks `meta-data/services/domain`).
pub fn domain(region: &str) -> &'static str {
    let partitions = [
        ("cn-", "amazonaws.com.cn"),
        ("us-iso-", "c2s.ic.gov"),
        ("us-isob-", "sc2s.sgov.gov"),
        ("us-isoe-", "cloud.adc-e.uk"),
        ("eu-isoe-", "cloud.adc-e.uk"),
        ("us-isof-", "csp.hci.ic.gov"),
        ("eusc-", "amazonaws.eu"),
    ];
    let partition = partitions.iter().find(|(prefix, _)| region.starts_with(prefix));
    partition.map_or("amazonaws.com", |(_, domain)| domain)
}

/// Writes the base URL of a service: the endpoint that the request names by `key`, or the public
/// one.
fn base<'o, 'r>(key: &[u8], request: &Request<'_>, facts: &Facts<'_>, out: &'o mut Text<'r>) -> &'o mut Text<'r> {
    out.clear();
    let endpoint = request.value(key);
    let template: &[u8] = if endpoint.is_empty() { b"https://$1.$2.$3" } else { endpoint };
    out.fill(template, &[key, facts.region, facts.domain])
}

/// Writes the URL of the EC2 API.
pub fn ec2(request: &Request<'_>, facts: &Facts<'_>, out: &mut Text<'_>) {
    base(b"ec2", request, facts, out).put(b"/");
}

/// Writes the URL of the SSM agent's package of `version`, in the region's own bucket.
pub fn ssm_package(request: &Request<'_>, facts: &Facts<'_>, version: &[u8], out: &mut Text<'_>) {
    let kind = facts.distribution.package_kind();
    let values = [facts.region, version, facts.arch.ssm_platform(kind), kind.name()];
    base(b"s3", request, facts, out).fill(b"/amazon-ssm-$1/$2/$3/amazon-ssm-agent.$4", &values);
}

/// Writes the URL of the object `key` in the region's CodeDeploy bucket.
pub fn codedeploy_object(request: &Request<'_>, facts: &Facts<'_>, key: &[u8], out: &mut Text<'_>) {
    base(b"s3", request, facts, out).fill(b"/aws-codedeploy-$1/$2", &[facts.region, key]);
}

/// The bytes and the port of `text`, an IPv4 address such as `169.254.169.254:80`.
pub fn ipv4(text: &[u8]) -> Option<([u8; 4], u16)> {
    let (mut address, mut rest) = ([0; 4], text);
    for byte in &mut address {
        let (value, tail) = leading_number(rest)?;
        *byte = u8::try_from(value).ok()?;
        rest = tail.get(1..)?;
    }
    Some((address, u16::try_from(number(rest)?).ok()?))
}

/// The key of the newest package of `kind` in the manifest of CodeDeploy agent 1.x; `None` when
/// the manifest is none.
pub fn codedeploy_v1_package(manifest: &[u8], kind: PackageKind) -> Option<&[u8]> {
    let key: &[u8] = match kind {
        PackageKind::Deb => b"\"deb\"",
        PackageKind::Rpm => b"\"rpm\"",
    };
    crate::json::string(manifest, key).filter(|key| key.starts_with(b"releases/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::{Arch, Distribution, Family};

    fn facts(family: Family) -> Facts<'static> {
        Facts {
            distribution: Distribution { family, release: 0 },
            arch: Arch::Aarch64,
            instance: b"i-1",
            region: b"cn-north-1",
            domain: b"amazonaws.com.cn",
        }
    }

    #[test]
    fn urls_follow_region_and_domain() {
        let request = Request::parse(b"pitcrew-bootstrap 1\n").unwrap();
        let mut room = [0; 200];
        let mut out = Text::new(&mut room);
        ec2(&request, &facts(Family::Debian), &mut out);
        assert_eq!(out.bytes(), b"https://ec2.cn-north-1.amazonaws.com.cn/");
        ssm_package(&request, &facts(Family::Debian), b"3.3.1.0", &mut out);
        assert_eq!(
            out.bytes(),
            b"https://s3.cn-north-1.amazonaws.com.cn/amazon-ssm-cn-north-1/3.3.1.0/debian_arm64/amazon-ssm-agent.deb"
        );
        codedeploy_object(&request, &facts(Family::Debian), CODEDEPLOY_V2_INSTALLER, &mut out);
        assert_eq!(out.bytes(), b"https://s3.cn-north-1.amazonaws.com.cn/aws-codedeploy-cn-north-1/latestv2/install");
    }

    #[test]
    fn an_interface_endpoint_takes_the_place_of_the_public_one() {
        let request = Request::parse(b"pitcrew-bootstrap 1\ns3 https://bucket.vpce-1\nec2 https://vpce-2\n").unwrap();
        let mut room = [0; 200];
        let mut out = Text::new(&mut room);
        ec2(&request, &facts(Family::RedHat), &mut out);
        assert_eq!(out.bytes(), b"https://vpce-2/");
        ssm_package(&request, &facts(Family::RedHat), b"3.3.1.0", &mut out);
        assert_eq!(
            out.bytes(),
            b"https://bucket.vpce-1/amazon-ssm-cn-north-1/3.3.1.0/linux_arm64/amazon-ssm-agent.rpm"
        );
    }

    #[test]
    fn an_address_has_four_bytes_and_a_port() {
        assert_eq!(ipv4(b"169.254.169.254:80"), Some(([169, 254, 169, 254], 80)));
        for wrong in ["", "1.2.3.4", "1.2.3:80", "1.2.3.4:65536", "1.2.3.4:80x", "1.2.3.256:80", "host:80"] {
            assert_eq!(ipv4(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn each_partition_has_its_domain() {
        for (region, expected) in [
            ("eu-west-1", "amazonaws.com"),
            ("us-gov-west-1", "amazonaws.com"),
            ("cn-northwest-1", "amazonaws.com.cn"),
            ("us-iso-east-1", "c2s.ic.gov"),
            ("us-isob-east-1", "sc2s.sgov.gov"),
            ("eu-isoe-west-1", "cloud.adc-e.uk"),
            ("us-isof-south-1", "csp.hci.ic.gov"),
            ("eusc-de-east-1", "amazonaws.eu"),
        ] {
            assert_eq!(domain(region), expected, "{region}");
        }
    }

    #[test]
    fn the_manifest_names_one_package_of_each_kind() {
        let manifest = br#"{"rpm":"releases/codedeploy-agent-1.7.0-92.noarch.rpm","deb":"releases/codedeploy-agent_1.7.0-92_all.deb","msi":"x"}"#;
        assert_eq!(
            codedeploy_v1_package(manifest, PackageKind::Deb),
            Some(&b"releases/codedeploy-agent_1.7.0-92_all.deb"[..])
        );
        assert_eq!(
            codedeploy_v1_package(manifest, PackageKind::Rpm),
            Some(&b"releases/codedeploy-agent-1.7.0-92.noarch.rpm"[..])
        );
        assert_eq!(codedeploy_v1_package(br#"{"rpm":"../../etc"}"#, PackageKind::Rpm), None);
        assert_eq!(codedeploy_v1_package(b"<html>", PackageKind::Rpm), None);
    }
}
