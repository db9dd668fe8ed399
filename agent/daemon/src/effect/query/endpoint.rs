//! Where a service is: the addresses that the SDK's own clients would call, for services that are called without one.

use aws_config::SdkConfig;
use aws_types::service_config::ServiceConfigKey;

use super::Service;

/// Why no address can be told.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Nowhere {
    /// As the SDK's clients refuse it: who asks for validated cryptography would get what is at the other address.
    #[error(
        "`{0}` is configured for it and AWS_USE_FIPS_ENDPOINT or AWS_USE_DUALSTACK_ENDPOINT asks for AWS' own address; \
         unset one of the two"
    )]
    Contradiction(String),
    #[error("AWS_USE_DUALSTACK_ENDPOINT is set, and no such address is known below `{0}`; unset it")]
    SingleStack(String),
}

/// Which of AWS' addresses of a service is asked for.
#[derive(Clone, Copy, Default)]
struct Variant {
    /// With cryptography that is validated by FIPS 140.
    fips: bool,
    /// With an IPv6 address beside the IPv4 one.
    dual_stack: bool,
}

/// The setting, `AWS_ENDPOINT_URL_<ID>`, `AWS_ENDPOINT_URL`, else AWS. Ends in a slash.
pub(super) fn of(service: &Service, region: &str) -> Result<String, Nowhere> {
    let config = &service.config;
    let variant = Variant {
        fips: config.use_fips().unwrap_or_default(),
        dual_stack: config.use_dual_stack().unwrap_or_default(),
    };
    let url = match configured(config, service.id) {
        Some(url) if variant.fips || variant.dual_stack => return Err(Nowhere::Contradiction(url)),
        Some(url) => url,
        None => usual(service.name, region, &service.domain, variant)?,
    };
    Ok(if url.ends_with('/') { url } else { url + "/" })
}

fn configured(config: &SdkConfig, id: &'static str) -> Option<String> {
    let general = || config.endpoint_url().map(str::to_owned);
    if config.get_origin("endpoint_url").is_client_config() {
        return general();
    }
    let key = ServiceConfigKey::builder().service_id(id).env("AWS_ENDPOINT_URL").profile("endpoint_url");
    let of_service = || config.service_config()?.load_config(key.build().ok()?);
    of_service().or_else(general)
}

/// AWS' own address, by the rules that its SDKs are generated from: GovCloud's usual addresses are the validated ones.
fn usual(name: &str, region: &str, domain: &str, variant: Variant) -> Result<String, Nowhere> {
    let gov = region.starts_with("us-gov-");
    let fips = match (variant.fips, variant.dual_stack, gov) {
        (false, _, _) | (true, false, true) => "",
        (true, true, true) if name == "monitoring" => "",
        (true, true, true) | (true, _, false) => "-fips",
    };
    let domain = if variant.dual_stack { dual_stack(domain)? } else { domain };
    Ok(format!("https://{name}{fips}.{region}.{domain}"))
}

/// Each partition has a domain of its own for addresses of both kinds.
fn dual_stack(domain: &str) -> Result<&'static str, Nowhere> {
    match domain {
        "amazonaws.com" => Ok("api.aws"),
        "amazonaws.com.cn" => Ok("api.amazonwebservices.com.cn"),
        "amazonaws.eu" => Ok("api.amazonwebservices.eu"),
        "c2s.ic.gov" => Ok("api.aws.ic.gov"),
        "sc2s.sgov.gov" => Ok("api.aws.scloud"),
        "cloud.adc-e.uk" => Ok("api.cloud-aws.adc-e.uk"),
        "csp.hci.ic.gov" => Ok("api.aws.hci.ic.gov"),
        unknown => Err(Nowhere::SingleStack(unknown.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What botocore's rule sets give: plain, FIPS, dual-stack, both.
    const ADDRESSES: [(&str, &str, &str, [&str; 4]); 6] = [
        (
            "ec2",
            "eu-central-1",
            "amazonaws.com",
            [
                "https://ec2.eu-central-1.amazonaws.com",
                "https://ec2-fips.eu-central-1.amazonaws.com",
                "https://ec2.eu-central-1.api.aws",
                "https://ec2-fips.eu-central-1.api.aws",
            ],
        ),
        (
            "elasticloadbalancing",
            "us-gov-west-1",
            "amazonaws.com",
            [
                "https://elasticloadbalancing.us-gov-west-1.amazonaws.com",
                "https://elasticloadbalancing.us-gov-west-1.amazonaws.com",
                "https://elasticloadbalancing.us-gov-west-1.api.aws",
                "https://elasticloadbalancing-fips.us-gov-west-1.api.aws",
            ],
        ),
        (
            "monitoring",
            "us-gov-east-1",
            "amazonaws.com",
            [
                "https://monitoring.us-gov-east-1.amazonaws.com",
                "https://monitoring.us-gov-east-1.amazonaws.com",
                "https://monitoring.us-gov-east-1.api.aws",
                "https://monitoring.us-gov-east-1.api.aws",
            ],
        ),
        (
            "autoscaling",
            "cn-north-1",
            "amazonaws.com.cn",
            [
                "https://autoscaling.cn-north-1.amazonaws.com.cn",
                "https://autoscaling-fips.cn-north-1.amazonaws.com.cn",
                "https://autoscaling.cn-north-1.api.amazonwebservices.com.cn",
                "https://autoscaling-fips.cn-north-1.api.amazonwebservices.com.cn",
            ],
        ),
        (
            "monitoring",
            "eusc-de-east-1",
            "amazonaws.eu",
            [
                "https://monitoring.eusc-de-east-1.amazonaws.eu",
                "https://monitoring-fips.eusc-de-east-1.amazonaws.eu",
                "https://monitoring.eusc-de-east-1.api.amazonwebservices.eu",
                "https://monitoring-fips.eusc-de-east-1.api.amazonwebservices.eu",
            ],
        ),
        (
            "ec2",
            "us-isob-east-1",
            "sc2s.sgov.gov",
            [
                "https://ec2.us-isob-east-1.sc2s.sgov.gov",
                "https://ec2-fips.us-isob-east-1.sc2s.sgov.gov",
                "https://ec2.us-isob-east-1.api.aws.scloud",
                "https://ec2-fips.us-isob-east-1.api.aws.scloud",
            ],
        ),
    ];

    #[test]
    fn a_service_is_where_the_sdks_say() {
        for (name, region, domain, expected) in ADDRESSES {
            let found = [(false, false), (true, false), (false, true), (true, true)]
                .map(|(fips, dual_stack)| usual(name, region, domain, Variant { fips, dual_stack }));
            assert_eq!(found, expected.map(|url| Ok(url.to_owned())), "{name} in {region}");
        }
    }

    #[test]
    fn an_address_that_nobody_knows_is_not_made_up() {
        let asked = Variant { dual_stack: true, ..Variant::default() };
        let error = usual("ec2", "moon-1", "amazonaws.moon", asked).unwrap_err();
        assert_eq!(error, Nowhere::SingleStack("amazonaws.moon".to_owned()));
    }
}
