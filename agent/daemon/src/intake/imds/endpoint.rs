//! Where IMDS is: the setting, the variables that AWS SDKs know, else the link-local address.

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

/// The service's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    authority: Authority,
    /// Before `/latest`, without a slash at its end; nearly always empty.
    prefix: String,
}

/// There is no address to ask at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The variable says so.
    #[error("AWS_EC2_METADATA_DISABLED is set, and without IMDS this agent does not know its instance; unset it")]
    Disabled,
    /// No `http` URI.
    #[error("`{0}` is no http:// address of an instance metadata service")]
    Malformed(String),
    /// Neither `IPv4` nor `IPv6`.
    #[error("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE is `{0}`; it may be IPv4 or IPv6")]
    UnknownMode(String),
}

const IPV4: &str = "169.254.169.254";
const IPV6: &str = "[fd00:ec2::254]";

impl Endpoint {
    /// Chooses as the AWS SDKs do: the `setting`, `AWS_EC2_METADATA_SERVICE_ENDPOINT`, the well-known address of
    /// `AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE`. `env` looks a variable up.
    pub fn choose(setting: Option<&Uri>, env: impl Fn(&str) -> Option<String>) -> Result<Self, EndpointError> {
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        if let Some(uri) = setting {
            return Self::at(uri);
        }
        if env("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err(EndpointError::Disabled);
        }
        if let Some(text) = env("AWS_EC2_METADATA_SERVICE_ENDPOINT") {
            let uri = text.parse().map_err(|_| EndpointError::Malformed(text))?;
            return Self::at(&uri);
        }
        match env("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE") {
            None => Ok(Self::well_known(IPV4)),
            Some(mode) if mode.eq_ignore_ascii_case("ipv4") => Ok(Self::well_known(IPV4)),
            Some(mode) if mode.eq_ignore_ascii_case("ipv6") => Ok(Self::well_known(IPV6)),
            Some(mode) => Err(EndpointError::UnknownMode(mode)),
        }
    }

    /// The service at an `http` URI.
    pub fn at(uri: &Uri) -> Result<Self, EndpointError> {
        match (uri.scheme() == Some(&Scheme::HTTP), uri.authority()) {
            (true, Some(authority)) => {
                Ok(Self { authority: authority.clone(), prefix: uri.path().trim_end_matches('/').to_owned() })
            }
            _ => Err(EndpointError::Malformed(uri.to_string())),
        }
    }

    fn well_known(host: &'static str) -> Self {
        Self { authority: Authority::from_static(host), prefix: String::new() }
    }

    /// The address of a `path` below `/latest/`.
    pub(super) fn uri(&self, path: &str) -> Uri {
        let path = format!("{}/latest/{path}", self.prefix);
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        // Paths are this module's own words; one that is none asks for the root, and hears 404.
        parts.path_and_query = PathAndQuery::try_from(path).ok().or(Some(PathAndQuery::from_static("/")));
        Uri::from_parts(parts).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(setting: Option<&str>, env: &[(&str, &str)]) -> Result<String, EndpointError> {
        let setting = setting.map(|text| text.parse::<Uri>().unwrap());
        let env = |name: &str| {
            let found = env.iter().find(|(known, _)| *known == name)?;
            Some(found.1.to_owned())
        };
        Endpoint::choose(setting.as_ref(), env).map(|endpoint| endpoint.uri("api/token").to_string())
    }

    #[test]
    fn the_setting_wins_over_the_variable_and_the_variable_over_the_mode() {
        const AT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
        const MODE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE";
        type Case<'a> = (Option<&'a str>, &'a [(&'a str, &'a str)], &'a str);
        let table: [Case<'_>; 6] = [
            (None, &[], "http://169.254.169.254/latest/api/token"),
            (None, &[(MODE, "IPv6")], "http://[fd00:ec2::254]/latest/api/token"),
            (None, &[(MODE, "ipv4")], "http://169.254.169.254/latest/api/token"),
            (None, &[(AT, ""), (MODE, "")], "http://169.254.169.254/latest/api/token"),
            (None, &[(AT, "http://127.0.0.1:1338/"), (MODE, "IPv6")], "http://127.0.0.1:1338/latest/api/token"),
            (Some("http://h:1/imds/"), &[(AT, "http://127.0.0.1:1338")], "http://h:1/imds/latest/api/token"),
        ];
        for (setting, env, expected) in table {
            assert_eq!(choose(setting, env).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        let disabled = choose(None, &[("AWS_EC2_METADATA_DISABLED", "True")]);
        assert_eq!(disabled, Err(EndpointError::Disabled));
        let mode = choose(None, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv5")]);
        assert_eq!(mode, Err(EndpointError::UnknownMode("IPv5".to_owned())));
        for text in ["https://127.0.0.1", "127.0.0.1", "/latest", "http://a b"] {
            let chosen = choose(None, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", text)]);
            assert!(matches!(chosen, Err(EndpointError::Malformed(_))), "{text}");
        }
    }
}
