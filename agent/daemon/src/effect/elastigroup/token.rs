//! The token: where it lies, and that nobody sees it.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_ssm::Client;
use http::HeaderValue;
use pitcrew_core::wire::FailureKind;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::info;

use super::api::Refusal;
use crate::config::TokenPlace;
use crate::doors::{Credentials, with_causes};
use crate::effect::failure::Asked;

/// A parameter is read again after this long, or when the token is refused.
const FRESH: Duration = Duration::from_secs(3600);

/// A token. Shows itself to nobody but a header.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token(String);

/// Where tokens come from.
pub(super) struct Tokens {
    place: TokenPlace,
    credentials: Credentials,
    sdk: SdkConfig,
    ssm: OnceLock<Client>,
    /// What the parameter held, and when it was read.
    held: Mutex<Option<(Token, Instant)>>,
}

impl Token {
    pub(super) fn header(&self) -> Result<HeaderValue, Refusal> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.0))
            .map_err(|_| Refusal::new(FailureKind::Denied, "the token holds what no header can carry"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Tokens {
    pub(super) fn new(place: TokenPlace, credentials: Credentials, sdk: SdkConfig) -> Self {
        Self { place, credentials, sdk, ssm: OnceLock::new(), held: Mutex::default() }
    }

    /// The token as it is now. A file is read each time, so that a new one counts at once.
    pub(super) async fn current(&self) -> Result<Token, Refusal> {
        match &self.place {
            TokenPlace::Credential(credential) => {
                let secret = self.credentials.read(credential);
                let secret = secret.map_err(|error| Refusal::new(FailureKind::Denied, with_causes(&error)))?;
                token(&secret)
            }
            TokenPlace::Parameter(name) => {
                // Held while one reads, so that one read serves all who wait.
                let mut held = self.held.lock().await;
                if let Some((token, read)) = held.as_ref()
                    && read.elapsed() < FRESH
                {
                    return Ok(token.clone());
                }
                let token = match (self.parameter(name).await, held.take()) {
                    (Ok(token), _) => token,
                    // An old token is better than none.
                    (Err(_), Some((old, _))) => old,
                    (Err(refusal), None) => return Err(refusal),
                };
                Ok(held.insert((token, Instant::now())).0.clone())
            }
        }
    }

    /// A token other than `refused`, where there is one.
    pub(super) async fn newer_than(&self, refused: &Token) -> Result<Option<Token>, Refusal> {
        {
            let mut held = self.held.lock().await;
            if held.as_ref().is_some_and(|(token, _)| token == refused) {
                *held = None;
            }
        }
        let token = self.current().await?;
        let newer = (token != *refused).then_some(token);
        if newer.is_some() {
            info!("the Elastigroup token was replaced");
        }
        Ok(newer)
    }

    async fn parameter(&self, name: &str) -> Result<Token, Refusal> {
        let client = self.ssm.get_or_init(|| Client::new(&self.sdk));
        let answer = client.get_parameter().name(name).with_decryption(true).send().await.map_err(|error| {
            let object = format!("parameter `{name}`");
            let asked = Asked { permission: "ssm:GetParameter", object: &object, resource: "the parameter" };
            let failure = asked.explain(&error);
            Refusal::new(failure.kind, failure.sentence)
        })?;
        let value = answer.parameter().and_then(|parameter| parameter.value()).unwrap_or_default();
        token(value)
    }
}

fn token(secret: &str) -> Result<Token, Refusal> {
    let secret = secret.trim();
    // A copied header is as good as the bare token.
    let secret = secret.strip_prefix("Bearer ").unwrap_or(secret).trim();
    match secret.is_empty() {
        true => Err(Refusal::new(FailureKind::Denied, "the token is empty: correct [elastigroup] token")),
        false => Ok(Token(secret.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_to_nobody() {
        let token = token(" Bearer s3cr3t\n").unwrap();
        assert_eq!(token.header().unwrap().to_str().unwrap(), "Bearer s3cr3t");
        let shown = format!("{token:?} {:?}", token.header().unwrap());
        assert!(!shown.contains("s3cr3t"), "{shown}");
        assert!(super::token("  \n").is_err());
    }
}
