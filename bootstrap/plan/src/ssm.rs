//! The proof that the SSM agent has registered.

use crate::json;

/// Where the agent keeps it.
pub const IDENTITY_FILE: &[u8] = b"/var/lib/amazon/ssm/runtimeconfig/identity_config.json";

/// Whether `identity`, the agent's `identity_config.json`, is of `instance` and was `written` since
/// the machine `booted`, both in Unix seconds. A file that came with the image carries its
/// builder's id; one that came with a disk was written before, since the agent writes it anew
/// whenever it is given credentials. The file's own `CredentialsRetrievedAt` says the same, but in
/// the machine's time zone.
pub fn is_registered(identity: &[u8], instance: &[u8], written: u64, booted: u64) -> bool {
    written >= booted && json::string(identity, b"\"InstanceId\"") == Some(instance)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: &[u8] = br#"{"SchemaVersion":"1.1","InstanceId":"i-1","IdentityType":"EC2","ShareFile":"",
        "ShareProfile":"","CredentialsExpiresAt":"2026-11-23T11:20:25Z",
        "CredentialsRetrievedAt":"2026-11-23T05:20:25.123456789Z","CredentialSource":"EC2"}"#;

    #[test]
    fn only_this_instance_since_this_boot_is_proof() {
        assert!(is_registered(IDENTITY, b"i-1", 101, 100));
        assert!(is_registered(IDENTITY, b"i-1", 100, 100));
        assert!(!is_registered(IDENTITY, b"i-1", 99, 100), "before this boot");
        assert!(!is_registered(IDENTITY, b"i-10", 101, 100), "the image's builder");
        assert!(!is_registered(IDENTITY, b"i-", 101, 100));
        assert!(!is_registered(b"", b"i-1", 101, 100));
        assert!(!is_registered(&IDENTITY[..40], b"i-1", 101, 100));
    }
}
