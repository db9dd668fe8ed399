//! Which group and which account: as the operator says, else as the instance's own tags do. Elastigroup may set those
//! after the agent has started, so they are looked for again until they are there.

use std::sync::Arc;

use pitcrew_core::wire::FailureKind;
use tokio::sync::Mutex;
use tracing::info;

use super::api::Refusal;
use crate::config;
use crate::doors::with_causes;
use crate::effect::Tags;
use crate::intake::imds::Imds;

const GROUP: &str = "spotinst:aws:ec2:group:id";
const ACCOUNT: &str = "spotinst:accountId";

/// Where this instance belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// `sig-…`
    pub(super) group: String,
    /// `act-…`
    pub(super) account: String,
}

/// Finds the place once.
pub(super) struct Places {
    group: Option<String>,
    account: Option<String>,
    imds: Arc<Imds>,
    tags: Arc<Tags>,
    found: Mutex<Option<Place>>,
}

impl Places {
    pub(super) fn new(settings: &config::Elastigroup, imds: Arc<Imds>, tags: Arc<Tags>) -> Self {
        let (group, account) = (settings.group.clone(), settings.account.clone());
        Self { group, account, imds, tags, found: Mutex::default() }
    }

    /// The place. Fails with `Unavailable` while the tags are not there.
    pub(super) async fn find(&self) -> Result<Place, Refusal> {
        // Held while one looks, so that one look serves all who wait.
        let mut found = self.found.lock().await;
        if let Some(place) = found.as_ref() {
            return Ok(place.clone());
        }
        let place = self.look().await?;
        info!(group = place.group, account = place.account, "this is the Elastigroup");
        Ok(found.insert(place).clone())
    }

    async fn look(&self) -> Result<Place, Refusal> {
        let (mut group, mut account) = (self.group.clone(), self.account.clone());
        if group.is_none() {
            group = self.of_metadata(GROUP).await;
        }
        if account.is_none() {
            account = self.of_metadata(ACCOUNT).await;
        }
        if group.is_none() || account.is_none() {
            let tags = self.tags.describe().await.map_err(|failure| {
                let why = format!(
                    "the instance's metadata has no tag {GROUP}, and {}; allow tags in instance metadata, or set \
                     [elastigroup] group and account",
                    failure.sentence
                );
                Refusal::new(failure.kind, why)
            })?;
            group = group.or_else(|| sensible(tags.get(GROUP).cloned()));
            account = account.or_else(|| sensible(tags.get(ACCOUNT).cloned()));
        }
        let lacking = if group.is_none() { GROUP } else { ACCOUNT };
        group.zip(account).map(|(group, account)| Place { group, account }).ok_or_else(|| {
            let why = format!(
                "this instance has no tag {lacking} yet; where it stays so, the instance is in no Elastigroup, or needs \
                 [elastigroup] group and account"
            );
            Refusal::new(FailureKind::Unavailable, why)
        })
    }

    /// A metadata service without tags, or in trouble, is as good as one without this tag: there is another way.
    async fn of_metadata(&self, key: &str) -> Option<String> {
        match self.imds.get(&format!("meta-data/tags/instance/{key}")).await {
            Ok(value) => sensible(value.map(|value| String::from_utf8_lossy(value.trim_ascii()).into_owned())),
            Err(trouble) => {
                tracing::debug!(key, trouble = with_causes(&trouble), "no tag from the metadata service");
                None
            }
        }
    }
}

/// What can stand in an address: an error page that got this far must not become a group.
fn sensible(value: Option<String>) -> Option<String> {
    let is_word = |text: &String| {
        !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    value.filter(is_word)
}
