//! The texts of the metadata service that the bootstrap asks for.

use super::{REGION, Role};

/// The text at `key` under `/latest/`; `None` for a key that is not there.
#[must_use]
pub fn text(key: &str, instance: &str, role: &Role) -> Option<String> {
    Some(match key.trim_end_matches('/') {
        "dynamic/instance-identity/document" => format!(
            "{{\n  \"accountId\" : \"123456789012\",\n  \"instanceId\" : \"{instance}\",\n  \"region\" : \"{REGION}\"\n}}"
        ),
        "meta-data/services/domain" => "amazonaws.com".to_owned(),
        "meta-data/iam/security-credentials" => "role-of-the-group".to_owned(),
        "meta-data/iam/security-credentials/role-of-the-group" => {
            let Role { key_id, secret, token } = role;
            format!(
                "{{\n  \"Code\" : \"Success\",\n  \"LastUpdated\" : \"2026-11-23T05:00:00Z\",\n  \
                 \"Type\" : \"AWS-HMAC\",\n  \"AccessKeyId\" : \"{key_id}\",\n  \"SecretAccessKey\" : \"{secret}\",\n  \
                 \"Token\" : \"{token}\",\n  \"Expiration\" : \"2036-01-01T00:00:00Z\"\n}}"
            )
        }
        _ => return None,
    })
}
