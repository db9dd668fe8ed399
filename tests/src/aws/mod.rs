//! What an instance meets of AWS, alike in every test of the bootstrap: who it is, what its metadata says, who signs
//! certificates, and whether a call is signed as it should be. How it is served is each test's own.

pub mod authority;
pub mod metadata;
pub mod signature;

/// The instance, where a test does not say otherwise.
pub const INSTANCE: &str = "i-0123456789abcdef0";
/// Its region.
pub const REGION: &str = "eu-west-1";

/// Credentials of the instance's role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// `AccessKeyId`
    pub key_id: String,
    /// `SecretAccessKey`
    pub secret: String,
    /// `Token`
    pub token: String,
}

impl Default for Role {
    fn default() -> Self {
        Self {
            key_id: "ASIAEXAMPLEEXAMPLE00".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            token: "a/token+of=the+role".to_owned(),
        }
    }
}
