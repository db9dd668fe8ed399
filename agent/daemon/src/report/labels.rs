//! Writes onto the instance's tags what was deployed here, after each deployment that ended well.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pitcrew_core::memory::{Ended, Ending};
use pitcrew_core::view::View;
use pitcrew_core::wire::Failure;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::config::VersionFrom;
use crate::effect::Tags;

/// The tag that says which revision runs here.
pub const VERSION: &str = "pitcrew:version";
/// The tag that says which deployment brought it.
pub const DEPLOYMENT: &str = "pitcrew:deployment";

/// After a failure that may pass.
const AGAIN: Duration = Duration::from_secs(30);
/// EC2 takes no longer value.
const LONGEST_VALUE: usize = 256;

/// Labels this instance.
pub struct Labels {
    /// The instance's tags.
    pub tags: Arc<Tags>,
    /// Where the version comes from.
    pub version: VersionFrom,
    /// Set beside it, as the operator wrote them.
    pub also: BTreeMap<String, String>,
}

impl Labels {
    /// Labels after each success that `shown` tells of, for as long as it is polled.
    pub async fn run(self, mut shown: watch::Receiver<Option<Arc<View>>>) -> Infallible {
        let mut written = None;
        loop {
            let view = shown.borrow_and_update().clone();
            if let Some(ended) = view.as_deref().and_then(latest_success)
                && written.as_ref() != Some(&ended.deployment)
            {
                match self.write(ended).await {
                    Err(failure) if failure.kind.is_transient() => {
                        warn!("{}; trying again", failure.sentence);
                        sleep(AGAIN).await;
                        continue;
                    }
                    Err(failure) => warn!("the tags do not say what runs here: {}", failure.sentence),
                    Ok(()) => info!(deployment = %ended.deployment, "instance tagged"),
                }
                written = Some(ended.deployment.clone());
            }
            if shown.changed().await.is_err() {
                std::future::pending::<Infallible>().await;
            }
        }
    }

    async fn write(&self, ended: &Ended) -> Result<(), Failure> {
        let version = self.version_of(ended);
        let mut tags: Vec<(&str, &str)> = Vec::new();
        if let Some(version) = &version {
            tags.extend([(VERSION, version.as_str()), (DEPLOYMENT, ended.deployment.as_str())]);
        }
        tags.extend(self.also.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        match tags.is_empty() {
            true => Ok(()),
            false => self.tags.create(&tags).await,
        }
    }

    fn version_of(&self, ended: &Ended) -> Option<String> {
        let version = match &self.version {
            VersionFrom::Nothing => None,
            VersionFrom::Revision => ended.revision.name().map(str::to_owned),
            VersionFrom::File(path) => read(path),
        };
        version.map(|version| version.chars().take(LONGEST_VALUE).collect())
    }
}

/// The first line of the operator's file.
fn read(path: &PathBuf) -> Option<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()),
        Err(error) => {
            warn!("the version that [tags] names cannot be read from `{}`: {error}", path.display());
            None
        }
    }
}

/// The deployment that brought what runs here.
pub(crate) fn latest_success(view: &View) -> Option<&Ended> {
    view.ended.iter().rev().find(|ended| match ended.how {
        Ending::Succeeded | Ending::SucceededUnheard => true,
        Ending::HookFailed | Ending::Dead | Ending::AssumedDead | Ending::Superseded | Ending::Left => false,
    })
}
