//! What an operator decided: validated, nothing left to parse.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http::Uri;
use pitcrew_core::ids::ProbeName;

use super::agents::Agents;
use super::elastigroup::Elastigroup;
use super::keys::Merged;
use super::leave::Leave;
use super::tags::TagSettings;

/// Settings of the daemon. `Settings::default()` is what the shipped fragments say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What the core's decisions depend on. Its `seed` is no key: the engine sets it.
    pub core: pitcrew_core::settings::Settings,
    /// `[traffic] target_groups`: ARNs or names; empty means every group that holds this instance.
    pub target_groups: Vec<String>,
    /// `[[health.probe]]`, each name once. Their hysteresis is in `core.probes`.
    pub probes: Vec<Probe>,
    /// `[deployment] hook_timeout`: how long a hook waits that does not say so itself.
    pub hook_timeout: Duration,
    /// `[leave]`, beside what is in `core`.
    pub leave: Leave,
    /// `[elastigroup]`, beside what is in `core`.
    pub elastigroup: Elastigroup,
    /// `[tags]`.
    pub tags: TagSettings,
    /// `[agents]`.
    pub agents: Agents,
    /// `[codedeploy]`.
    pub codedeploy: CodeDeployAgent,
    /// `[imds]`.
    pub imds: Imds,
    /// `[aws]`.
    pub aws: Aws,
    /// `[socket] group`: whose members may move traffic, beside root and the agent's own user.
    pub socket_group: String,
    /// `[http]`, beside what is in `core`.
    pub http: Http,
    /// `[cloudwatch]`; `None`: it is not told.
    pub cloudwatch: Option<CloudWatch>,
    /// `[autoscaling] report_unhealthy_after`; `None`: the group is not told.
    pub report_unhealthy_after: Option<Duration>,
    /// `[history]`.
    pub history: History,
    /// `[log]`.
    pub log: Log,
}

/// One question that is asked again and again to learn whether the application is healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Unique among the probes.
    pub name: ProbeName,
    /// What is asked.
    pub check: Check,
    /// From one question to the next.
    pub interval: Duration,
    /// No answer after this long is a bad answer.
    pub timeout: Duration,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// `GET url` answers with an expected status.
    Http {
        /// An `http://` address.
        url: Uri,
        /// The good statuses.
        expect: Statuses,
    },
    /// A connection to `host:port` opens.
    Tcp {
        /// `host:port`.
        address: String,
    },
    /// A program exits with 0.
    Command {
        /// The program and its arguments; no shell reads them.
        command: Vec<String>,
    },
    /// A file system has room.
    Disk {
        /// Any path on it.
        path: PathBuf,
        /// At least so much of it is free for the agent's user, in percent.
        free_percent: u8,
    },
    /// Memory can still be had without swapping.
    Memory {
        /// At least so much of it, in percent.
        available_percent: u8,
    },
    /// Processes do not wait for memory for too long (the kernel's pressure stall information).
    MemoryPressure {
        /// At most so much of the last minute, in percent.
        percent: u8,
    },
    /// Not too many processes wait for a processor.
    Load {
        /// At most so many for each processor, over the last minute.
        per_cpu: u32,
    },
}

/// HTTP statuses, written the way a target group's matcher is: `200`, `200,202`, `200-399`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(Vec<(u16, u16)>);

/// `[codedeploy]`: CodeDeploy's host agent on this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeDeployAgent {
    /// Its `root_dir`, in which it keeps deployments.
    pub root: PathBuf,
}

impl Default for CodeDeployAgent {
    fn default() -> Self {
        Self { root: PathBuf::from("/opt/codedeploy-agent/deployment-root") }
    }
}

/// `[imds]`: the instance metadata service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imds {
    /// From one look for notices to the next.
    pub poll: Duration,
    /// For one request.
    pub timeout: Duration,
    /// `None`: `AWS_EC2_METADATA_SERVICE_ENDPOINT`, else the well-known address.
    pub endpoint: Option<Uri>,
}

/// `[http]`: who may ask how this instance is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Everything is shown here; a loopback address. `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// Only `/ready` and `/live` are shown here.
    pub ready_listen: Option<SocketAddr>,
    /// Whether `POST /api/check` of Elastigroup's health check service is answered, there too.
    pub answer_hcs: bool,
}

/// `[cloudwatch]`: what is told there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudWatch {
    /// Where metrics are put.
    pub namespace: String,
    /// From one time to the next.
    pub period: Duration,
}

/// `[history]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// At least so many records are kept, and at most twice as many.
    pub keep: usize,
}

/// `[aws]`: the AWS API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aws {
    /// `None`: the environment, else the instance's own region.
    pub region: Option<String>,
    /// `None`: `AWS_ENDPOINT_URL_<SERVICE>`, `AWS_ENDPOINT_URL`, else AWS itself.
    pub endpoint_url: Option<Uri>,
    /// For one call.
    pub timeout: Duration,
}

/// `[log]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// The least severe level that is written.
    pub level: LogLevel,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For the journal where stderr is the journal, else text.
    Auto,
    /// Readable, with the time.
    Text,
    /// One JSON object a line.
    Json,
}

/// The least severe level that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Something failed that an operator must look at.
    Error,
    /// Something is odd, and the agent goes on.
    Warn,
    /// What happened and what was done about it.
    Info,
    /// Why.
    Debug,
    /// Everything, the libraries included.
    Trace,
}

impl Default for Settings {
    fn default() -> Self {
        Merged::default().into_settings()
    }
}

impl Statuses {
    /// 200 to 399: what a person would call an answer.
    pub fn success() -> Self {
        Self(vec![(200, 399)])
    }

    /// Whether `status` is one of them.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|&(first, last)| (first..=last).contains(&status))
    }
}

impl FromStr for Statuses {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let status = |text: &str| match text.trim().parse::<u16>() {
            Ok(status) if (100..=599).contains(&status) => Ok(status),
            Ok(_) | Err(_) => Err(()),
        };
        text.split(',')
            .map(|part| match part.split_once('-') {
                Some((first, last)) => Ok((status(first)?, status(last)?)),
                None => Ok((status(part)?, status(part)?)),
            })
            .map(|range| range.and_then(|(first, last)| (first <= last).then_some((first, last)).ok_or(())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (first, last)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}
