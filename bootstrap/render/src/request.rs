//! Writes pinned settings as the request that travels behind the installer.

use std::fmt::Write as _;

use pitcrew_plan::request::{self, CodeDeployAgent, Draft, Pin, SsmAgent, Tag, Unspeakable};
use pitcrew_plan::text::Text;

use crate::pins::Pinned;
use crate::settings::{CodeDeployVersion, Settings, Ssm};

/// The request's text, for the architectures that `pinned` was made for.
///
/// # Errors
/// [`Unspeakable`] when the request would not be read back as it is meant.
pub fn text(settings: &Settings, pinned: &Pinned) -> Result<Vec<u8>, Unspeakable> {
    const ROOM: usize = 64 << 10;
    let packages: Vec<_> = pinned
        .packages
        .iter()
        .map(|(package, sha256)| request::Package {
            arch: package.arch,
            kind: package.kind,
            url: package.url.as_bytes(),
            sha256: sha256.as_bytes(),
        })
        .collect();
    let pins: Vec<_> =
        pinned.objects.iter().map(|(key, sha256)| Pin { key: key.as_bytes(), sha256: sha256.as_bytes() }).collect();
    let tags: Vec<_> =
        settings.tags.iter().map(|(key, value)| (percent_encoded(key), percent_encoded(value))).collect();
    let tags: Vec<_> = tags.iter().map(|(key, value)| Tag { key: key.as_bytes(), value: value.as_bytes() }).collect();
    let agent_config: Vec<_> =
        settings.codedeploy.iter().flat_map(|agent| &agent.config).map(String::as_bytes).collect();
    let mut endpoints = Draft::default().endpoints;
    if !settings.endpoints.imds.is_empty() {
        endpoints.imds = settings.endpoints.imds.as_bytes();
    }
    endpoints.s3 = settings.endpoints.s3.as_bytes();
    endpoints.ec2 = settings.endpoints.ec2.as_bytes();
    let draft = Draft {
        deadline_s: u32::try_from(settings.deadline.as_secs()).unwrap_or(u32::MAX),
        pace_ms: u32::try_from(settings.pace.as_millis()).unwrap_or(u32::MAX),
        ssm: match (&settings.ssm, &pinned.ssm_version) {
            (None, _) => SsmAgent::Leave,
            (Some(Ssm::Install { .. }), Some(version)) => SsmAgent::Install { version: version.as_bytes() },
            (Some(Ssm::Ensure | Ssm::Install { .. }), _) => SsmAgent::Ensure,
        },
        codedeploy: match settings.codedeploy.as_ref().map(|agent| agent.version) {
            None => CodeDeployAgent::Leave,
            Some(CodeDeployVersion::Ensure) => CodeDeployAgent::Ensure,
            Some(CodeDeployVersion::V1) => CodeDeployAgent::V1,
            Some(CodeDeployVersion::V2) => CodeDeployAgent::V2,
        },
        endpoints,
        ca: settings.endpoints.ca.as_bytes(),
        root: settings.root.as_bytes(),
        packages: &packages,
        pins: &pins,
        agent_config: &agent_config,
        tags: &tags,
    };
    let mut room = vec![0; ROOM];
    let mut text = Text::new(&mut room);
    draft.render(&mut text)?;
    Ok(text.bytes().to_vec())
}

/// `text` as SigV4 wants it in a form: all but unreserved bytes as `%XX` (RFC 3986, 2.3).
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::percent_encoded;

    #[test]
    fn tags_are_encoded_as_sigv4_wants_them() {
        assert_eq!(percent_encoded("pitcrew:ready"), "pitcrew%3Aready");
        assert_eq!(percent_encoded("a b+c/é~"), "a%20b%2Bc%2F%C3%A9~");
    }
}
