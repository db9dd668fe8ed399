//! Puts what this instance is into Systems Manager's inventory, as `Custom:Pitcrew`: on change, and once a day.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::InventoryItem;
use pitcrew_core::ids::InstanceId;
use pitcrew_core::time::WallTime;
use pitcrew_core::view::View;
use pitcrew_core::wire::{Failure, FailureKind};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, warn};

use super::labels::latest_success;
use crate::doors::Clock;
use crate::effect::failure::Asked;
use crate::intake::host_agents::Seen;

/// The type of the entry.
pub const TYPE: &str = "Custom:Pitcrew";

/// A deployment changes much in a short time: what stands when it is calm is told.
const CALM: Duration = Duration::from_secs(10);
/// At least so often.
const DAILY: Duration = Duration::from_secs(24 * 3600);
/// After a failure that may pass.
const AGAIN: Duration = Duration::from_secs(120);

/// Tells the inventory.
pub struct Inventory {
    /// AWS, with the instance's role.
    pub config: SdkConfig,
    /// This instance.
    pub instance: InstanceId,
    /// Dates the entries.
    pub clock: Arc<dyn Clock>,
}

impl Inventory {
    /// Tells for as long as it is polled.
    pub async fn run(
        self,
        mut shown: watch::Receiver<Option<Arc<View>>>,
        mut agents: watch::Receiver<Seen>,
    ) -> Infallible {
        let client = OnceLock::new();
        let mut told = HashMap::new();
        let mut due = Instant::now();
        let mut complained = false;
        loop {
            sleep(CALM).await;
            let view = shown.borrow_and_update().clone();
            let entry = view.map(|view| entry(&view, &agents.borrow_and_update())).unwrap_or_default();
            if !entry.is_empty() && (entry != told || Instant::now() >= due) {
                let outcome = self.put(client.get_or_init(|| Client::new(&self.config)), entry.clone()).await;
                (told, due) = (entry, Instant::now() + DAILY);
                match outcome {
                    Ok(()) => complained = false,
                    Err(failure) => {
                        if !std::mem::replace(&mut complained, true) {
                            warn!("the inventory does not know this instance: {}", failure.sentence);
                        }
                        debug!("{}", failure.sentence);
                        if failure.kind != FailureKind::Denied {
                            due = Instant::now() + AGAIN;
                        }
                    }
                }
            }
            let news = async {
                tokio::select! {
                    biased;
                    Ok(()) = shown.changed() => {}
                    Ok(()) = agents.changed() => {}
                    else => std::future::pending().await,
                }
            };
            // Nothing new until it is due again.
            let _ = timeout_at(due, news).await;
        }
    }

    async fn put(&self, client: &Client, entry: HashMap<String, String>) -> Result<(), Failure> {
        let asked =
            Asked { permission: "ssm:PutInventory", object: &format!("instance `{}`", self.instance), resource: "*" };
        let item = InventoryItem::builder()
            .type_name(TYPE)
            .schema_version("1.0")
            .capture_time(rfc3339(self.clock.now().wall))
            .content(entry)
            .build()
            .map_err(|error| asked.unanswered(&error.to_string()))?;
        let request = client.put_inventory().instance_id(self.instance.as_str()).items(item);
        request.send().await.map(drop).map_err(|error| asked.explain(&error))
    }
}

/// What is told; every value a word or two.
fn entry(view: &View, agents: &Seen) -> HashMap<String, String> {
    let deployed = latest_success(view);
    let running = |known: Option<bool>| match known {
        Some(true) => "running",
        Some(false) => "not running",
        None => "unknown",
    };
    let latest = view.ended.last();
    [
        ("State", view.state.word().to_owned()),
        ("Healthy", view.healthy.to_string()),
        ("Pitcrew", env!("CARGO_PKG_VERSION").to_owned()),
        ("Revision", deployed.and_then(|ended| ended.revision.name()).unwrap_or("unknown").to_owned()),
        ("Deployment", deployed.map_or_else(|| "none".to_owned(), |ended| ended.deployment.to_string())),
        ("LastDeployment", latest.map_or_else(|| "none".to_owned(), |ended| ended.deployment.to_string())),
        ("LastDeploymentEnded", latest.map_or("never", |ended| ended.how.word()).to_owned()),
        ("SsmAgent", running(agents.ssm.running).to_owned()),
        ("CodeDeployAgent", running(agents.codedeploy.running).to_owned()),
        ("CodeDeployAgentVersion", agents.codedeploy.version.clone().unwrap_or_else(|| "unknown".to_owned())),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// `2026-11-23T09:30:00Z`: the inventory takes whole seconds.
fn rfc3339(wall: WallTime) -> String {
    let seconds = i64::try_from(wall.0 / 1000).unwrap_or(i64::MAX);
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_seconds() {
        assert_eq!(rfc3339(WallTime(1_795_435_200_999)), "2026-11-23T12:00:00Z");
    }
}
