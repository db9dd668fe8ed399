//! `[elastigroup]`: how to reach Elastigroup, and what it is asked for.

use std::time::Duration;

use http::Uri;
use pitcrew_core::elastigroup::{Process, ReadyAfter};
use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::leave::Credential;
use super::value::{Value, word, words};

/// Elastigroup's API.
pub(super) const BASE_URL: &str = "https://api.spotinst.io";

/// `[elastigroup]`, beside what the core knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elastigroup {
    /// Where the token lies; `None`: Elastigroup is not spoken to.
    pub token: Option<TokenPlace>,
    /// `act-…`; `None`: as the instance's tags say.
    pub account: Option<String>,
    /// `sig-…`; `None`: as the instance's tags say.
    pub group: Option<String>,
    /// Where the API is.
    pub base_url: Uri,
    /// For one call.
    pub timeout: Duration,
}

/// Where a token lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenPlace {
    /// A credential of the unit, or a file that only its owner can read.
    Credential(Credential),
    /// A parameter of SSM, a `SecureString` by preference.
    Parameter(String),
}

impl Value for TokenPlace {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        let text = String::read(toml)?;
        match text.strip_prefix("ssm:") {
            Some("") => Err("names no parameter; write it as ssm:/NAME".to_owned()),
            Some(name) => Ok(Self::Parameter(name.to_owned())),
            None if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => Err(
                "is a token itself, which must not stand here; name a credential of the unit, a file, or ssm:/PARAMETER"
                    .to_owned(),
            ),
            None => Credential::read(toml).map(Self::Credential).map_err(|why| format!("{why}, nor ssm:/PARAMETER")),
        }
    }

    fn show(&self) -> Json {
        match self {
            TokenPlace::Credential(credential) => credential.show(),
            TokenPlace::Parameter(name) => json!(format!("ssm:{name}")),
        }
    }
}

/// An id with its prefix.
#[derive(Clone, Debug)]
pub(super) struct Id<const N: usize>(pub(super) String);

/// What ids begin with.
const PREFIXES: [&str; 2] = ["act-", "sig-"];

/// `act-…`
pub(super) type AccountId = Id<0>;
/// `sig-…`
pub(super) type GroupId = Id<1>;

impl<const N: usize> Value for Id<N> {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        let text = String::read(toml)?;
        let prefix = PREFIXES.get(N).copied().unwrap_or_default();
        let is_id = text.starts_with(prefix) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if is_id { Ok(Self(text)) } else { Err(format!("`{text}` does not look like `{prefix}1a2b3c4d`")) }
    }

    fn show(&self) -> Json {
        json!(self.0)
    }
}

impl Value for Process {
    fn read(toml: &DeValue<'_>) -> Result<Self, String> {
        word(toml, &Process::ALL.map(|process| (process.word(), process)))
    }

    fn show(&self) -> Json {
        json!(self.word())
    }
}

words!(ReadyAfter { Deployment = "deployment", Health = "health", Boot = "boot", Never = "never" });
