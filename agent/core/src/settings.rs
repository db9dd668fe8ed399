//! What an operator may decide about the core's decisions. Defaults here are the shipped defaults.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::ids::ProbeName;
use crate::wire::Owner;

/// Settings of the core: validated, nothing left to parse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// `None`: ask CodeDeploy for each deployment group (`owner = "auto"`).
    pub owner: Option<Owner>,
    /// Do not take the last healthy target of a group out for a deployment.
    pub keep_last_healthy: bool,
    /// After `draining` is first seen, new requests may still arrive for this long.
    pub settle: Duration,
    /// A target is drained when it had no connection for this long.
    pub quiet_period: Duration,
    /// How long a return to traffic may take until the hook that waits for it fails.
    pub return_within: Duration,
    /// A deployment that was silent for this long is asked about.
    pub ask_after: Duration,
    /// CodeDeploy begins each lifecycle event within this time of the one before. A deployment of which the host agent
    /// shows no command for longer, and that cannot be asked about, is dead; where CodeDeploy moves traffic itself it may
    /// be silent for longer.
    pub command_within: Duration,
    /// A deployment that was silent for this long, and cannot be asked about, is taken for dead.
    pub assume_dead_after: Duration,
    /// What becomes of an instance whose application a dead deployment left unhealthy.
    pub on_dead: OnDead,
    /// How long it may take to become healthy, or to be deployed to again, until a replacement is asked for.
    pub replace_after: Duration,
    /// Where CodeDeploy itself moves traffic and its deployment died: what it blocked is given back here.
    pub return_blocked: bool,
    /// What hook calls of a leaving instance are answered.
    pub on_notice: OnNotice,
    /// Whether the hook after which a leaving instance's application is stopped waits for what is in flight.
    pub before_stop: BeforeStop,
    /// A notice that is gone at its source lets the instance return to traffic; otherwise it stays out for good.
    pub return_when_withdrawn: bool,
    /// What a rebalance recommendation leads to.
    pub on_rebalance: OnAdvice,
    /// What it leads to when others drain every registration of this instance and nobody here asked for that: so
    /// Elastigroup begins a replacement, and so does a person who moves traffic by hand.
    pub on_foreign_drain: OnAdvice,
    /// How long leaving may take where its notice names no time.
    pub leave_budget: Duration,
    /// How long leaving may take when the instance is about to be hibernated: freezing has begun.
    pub hibernate_budget: Duration,
    /// Remove the tags by which CodeDeploy chooses this instance when it leaves.
    pub remove_tags: bool,
    /// Whether an instance that cannot hear notices tells balancers that it is not ready.
    pub unready_when_blind: bool,
    /// Whether an instance on which an agent of AWS does not work tells balancers that it is not ready.
    pub unready_without_agents: bool,
    /// `None`: there is no token, and Elastigroup is not spoken to.
    pub elastigroup: Option<crate::elastigroup::Settings>,
    /// How many answers in a row change a probe's mind.
    pub probes: BTreeMap<ProbeName, Thresholds>,
    /// Seeds the jitter of repeated calls, so that a fleet spreads and a test repeats.
    pub seed: u64,
}

/// What a probe's answers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Thresholds {
    /// Good answers in a row until a failed probe passes again.
    pub healthy: u32,
    /// Bad answers in a row until a passed probe fails.
    pub unhealthy: u32,
    /// Since the agent's start, bad answers leave a probe that never passed undecided for this long.
    pub grace: Duration,
    /// It is shown and counted, and decides nothing.
    pub advisory: bool,
}

/// How a deployment that meets a notice is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnNotice {
    /// Success at once, and no return to traffic: the fleet's deployment goes on.
    Finish,
    /// Exit status 77: the deployment fails on this instance.
    Refuse,
}

/// What a leaving instance answers a hook after which CodeDeploy stops the application, where requests may be in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BeforeStop {
    /// Nothing until it is drained, or the drain's share of the time is over: no request is cut.
    Drain,
    /// Success at once: the deployment waits for nothing, and what is in flight is cut.
    Answer,
}

/// What becomes of an instance whose application a dead deployment left unhealthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDead {
    /// It stays out of traffic, and that is said everywhere.
    StayOut,
    /// The same, and whoever keeps up the fleet is asked to replace it.
    Replace,
}

/// What advice leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnAdvice {
    /// Nothing.
    Ignore,
    /// It is shown everywhere; traffic and deployments go on.
    Mark,
    /// The instance leaves.
    Drain,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { healthy: 2, unhealthy: 2, grace: Duration::ZERO, advisory: false }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            owner: None,
            keep_last_healthy: true,
            settle: Duration::from_secs(5),
            quiet_period: Duration::from_secs(2),
            return_within: Duration::from_secs(600),
            ask_after: Duration::from_secs(30),
            command_within: Duration::from_secs(5 * 60),
            assume_dead_after: Duration::from_secs(70 * 60),
            on_dead: OnDead::StayOut,
            replace_after: Duration::from_secs(600),
            return_blocked: true,
            on_notice: OnNotice::Finish,
            before_stop: BeforeStop::Drain,
            return_when_withdrawn: false,
            on_rebalance: OnAdvice::Mark,
            on_foreign_drain: OnAdvice::Mark,
            leave_budget: Duration::from_secs(120),
            hibernate_budget: Duration::from_secs(10),
            remove_tags: false,
            unready_when_blind: false,
            unready_without_agents: false,
            elastigroup: None,
            probes: BTreeMap::new(),
            seed: 0,
        }
    }
}
