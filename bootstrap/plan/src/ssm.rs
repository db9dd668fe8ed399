//! The proof that the SSM agent has registered.

use crate::{json, time};

/// Where the agent keeps it.
pub const IDENTITY_FILE: &[u8] = b"/var/lib/amazon/ssm/runtimeconfig/identity_config.json";

/// Whether `identity`, the agent's `identity_config.json`, says that it has registered `instance`
/// since `booted` (Unix seconds). A file that came with the image carries its builder's id, one
/// that came with a disk an earlier time.
pub fn is_registered(identity: &[u8], instance: &[u8], booted: u64) -> bool {
    json::string(identity, b"InstanceId") == Some(instance)
        && json::string(identity, b"CredentialsRetrievedAt").and_then(time::rfc3339).is_some_and(|at| at >= booted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn only_this_instance_since_this_boot_is_proof() {
        let identity = |id, at| {
            format!(
                r#"{{"SchemaVersion":"1.1","InstanceId":"{id}","IdentityType":"EC2","ShareFile":"","ShareProfile":"","CredentialsExpiresAt":"2026-11-23T11:20:25Z","CredentialsRetrievedAt":"{at}","CredentialSource":"EC2"}}"#
            )
        };
        let booted = 1_795_411_225;
        let proven = |id, at| is_registered(identity(id, at).as_bytes(), b"i-1", booted);
        assert!(proven("i-1", "2026-11-23T05:20:25.9Z"));
        assert!(proven("i-1", "2026-11-23T14:20:25.000000001+09:00"));
        assert!(!proven("i-1", "2026-11-23T05:20:24Z"), "before this boot");
        assert!(!proven("i-10", "2026-11-23T05:20:26Z"), "the image's builder");
        assert!(!proven("i-1", "0001-01-01T00:00:00Z"), "Go's zero time");
        assert!(!is_registered(b"", b"i-1", 0));
        assert!(!is_registered(identity("i-1", "2026-11-23T05:20:26Z").get(..60).unwrap().as_bytes(), b"i-1", booted));
    }
}
