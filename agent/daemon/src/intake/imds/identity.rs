//! Who this instance is.

use std::time::Duration;

use pitcrew_core::ids::InstanceId;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{Imds, Trouble};
use crate::doors::with_causes;

const DOCUMENT: &str = "dynamic/instance-identity/document";

/// The instance, as IMDS's identity document describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `i-…`.
    pub instance: InstanceId,
    /// `eu-central-1`.
    pub region: String,
    /// `eu-central-1a`.
    pub availability_zone: String,
    /// The account's twelve digits.
    pub account: String,
    /// The primary private IPv4 address; an instance of an IPv6-only subnet has none.
    pub private_address: Option<String>,
    /// `aws`, `aws-cn`, `aws-us-gov` …, from `services/partition`.
    pub partition: String,
    /// `amazonaws.com`, `amazonaws.com.cn` …, from `services/domain`.
    pub domain: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    instance_id: String,
    region: String,
    availability_zone: String,
    account_id: String,
    private_ip: Option<String>,
}

impl Imds {
    /// Who this instance is. Fails as any question to IMDS does, and where its document is not one.
    pub async fn identity(&self) -> Result<Identity, Trouble> {
        let unreadable = |why: String| Trouble::Unreadable { path: DOCUMENT, why };
        let Some(bytes) = self.get(DOCUMENT).await? else {
            return Err(unreadable("there is none (404)".to_owned()));
        };
        let document: Document = serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
        // An error page that got this far must not become somebody's name.
        if !document.instance_id.starts_with("i-") {
            return Err(unreadable(format!("`{}` is no instance id", document.instance_id)));
        }
        let partition = self.word("meta-data/services/partition").await?;
        let domain = self.word("meta-data/services/domain").await?;
        let (usual_partition, usual_domain) = usual_services(&document.region);
        Ok(Identity {
            instance: InstanceId::new(document.instance_id),
            region: document.region,
            availability_zone: document.availability_zone,
            account: document.account_id,
            private_address: document.private_ip.filter(|address| !address.is_empty()),
            partition: partition.unwrap_or_else(|| usual_partition.to_owned()),
            domain: domain.unwrap_or_else(|| usual_domain.to_owned()),
        })
    }

    /// Who this instance is, asked until IMDS says so: it may come up after us, or be in trouble for a while. `seed`
    /// spreads the questions of a fleet.
    pub async fn identity_when_known(&self, seed: u64) -> Identity {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut pause = FIRST_PAUSE;
        let mut said = String::new();
        loop {
            match self.identity().await {
                Ok(identity) => return identity,
                Err(trouble) => {
                    let trouble = with_causes(&trouble);
                    if trouble != said {
                        warn!(%trouble, "this instance's identity is not known yet; asking again");
                        said = trouble;
                    }
                }
            }
            tokio::time::sleep(pause.mul_f64(0.5 + random.f64() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn word(&self, path: &str) -> Result<Option<String>, Trouble> {
        let answer = self.get(path).await?;
        Ok(answer.map(|bytes| String::from_utf8_lossy(bytes.trim_ascii()).into_owned()))
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// Partition and domain of a region whose IMDS does not tell them.
pub(crate) fn usual_services(region: &str) -> (&'static str, &'static str) {
    if region.starts_with("cn-") {
        ("aws-cn", "amazonaws.com.cn")
    } else if region.starts_with("us-gov-") {
        ("aws-us-gov", "amazonaws.com")
    } else {
        ("aws", "amazonaws.com")
    }
}
