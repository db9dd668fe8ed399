//! Every metric that there is: name, meaning, labels. The reference page is written from this table.

/// A metric.
#[derive(Debug)]
pub struct Family {
    /// Its name, as Prometheus' conventions have it.
    pub name: &'static str,
    /// What it says, in one sentence.
    pub help: &'static str,
    /// How it counts.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [Label],
}

/// A label, and what its values may be.
#[derive(Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values, for the reference page.
    pub values: &'static str,
}

/// How a metric counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only upwards, since the agent's start.
    Counter,
    /// As things are now.
    Gauge,
    /// Always 1; the labels tell.
    Info,
    /// Durations in seconds, by these upper bounds.
    Histogram {
        /// Ascending; the last bucket, which takes everything, is not among them.
        bounds: &'static [f64],
    },
}

impl Family {
    /// The upper bounds of a histogram's buckets; none for other kinds.
    pub(super) fn bounds(&self) -> impl Iterator<Item = f64> {
        match self.kind {
            Kind::Histogram { bounds } => bounds,
            Kind::Counter | Kind::Gauge | Kind::Info => &[],
        }
        .iter()
        .copied()
    }
}

/// For what takes seconds to minutes.
const LONG: &[f64] = &[1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0];

/// For what takes milliseconds to seconds.
const SHORT: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

const fn label(name: &'static str, values: &'static str) -> Label {
    Label { name, values }
}

macro_rules! families {
    ($($constant:ident = $name:literal $kind:expr, [$($label:literal = $values:literal),*], $help:literal;)*) => {
        $(#[doc = $help]
        pub(crate) const $constant: Family = Family {
            name: $name,
            help: $help,
            kind: $kind,
            labels: &[$(label($label, $values)),*],
        };)*

        /// Every metric, in the order of the reference page.
        pub static FAMILIES: &[&Family] = &[$(&$constant),*];
    };
}

use Kind::{Counter, Gauge, Histogram, Info};

families! {
    BUILD = "pitcrew_build_info" Info, ["version" = "of the agent"],
        "Which agent this is.";
    REVISION = "pitcrew_revision_info" Info, ["revision" = "its commit, else the version or the ETag of its object in S3", "deployment" = "its id"],
        "What runs here: the revision of the last deployment that ended well; absent until there was one.";
    STATE = "pitcrew_state" Gauge, ["state" = "starting, serving, returning, deploying, held, unhealthy, leaving"],
        "1 for the state that the instance is in, 0 for the others.";
    READY = "pitcrew_ready" Gauge, [],
        "1 while /ready answers 200.";
    UNREADY = "pitcrew_readiness_reasons" Gauge, ["code" = "leaving, held, deployment, starting, unhealthy, blind, last-healthy, at-risk, advisory, agent", "blocks" = "true, false"],
        "How many reasons of each kind /ready gives.";
    HEALTHY = "pitcrew_healthy" Gauge, [],
        "1 while every probe passes that decides.";
    PROBE_PASSING = "pitcrew_probe_passing" Gauge, ["probe" = "its name", "advisory" = "true, false"],
        "1 while the probe passes; absent until it has made up its mind.";
    PROBE_ANSWERS = "pitcrew_probe_answers_total" Counter, ["probe" = "its name", "outcome" = "good, bad"],
        "Answers of probes.";
    HOST_AGENT = "pitcrew_host_agent_working" Gauge, ["agent" = "ssm, codedeploy"],
        "1 while this agent of AWS works, 0 where it is installed and does not; absent where it is not.";
    TARGETS = "pitcrew_targets" Gauge, ["group" = "the target group's name", "state" = "initial, healthy, unhealthy, draining, drained, unused, unavailable, unknown, unregistered"],
        "Registrations of this instance, by how they stand.";
    PUT_BACK = "pitcrew_targets_put_back" Gauge, ["group" = "the target group's name"],
        "How often somebody else has put registrations back that are to be out just now.";
    SETTLED = "pitcrew_settled" Gauge, [],
        "1 while traffic is where it belongs.";
    TROUBLES = "pitcrew_troubles" Gauge, [],
        "Failures of calls that nothing has mended yet.";
    OPEN = "pitcrew_deployments_open" Gauge, [],
        "Deployments that are open on this instance.";
    DEPLOYMENTS = "pitcrew_deployments_total" Counter, ["outcome" = "succeeded, hook-failed, succeeded-unheard, dead, assumed-dead, superseded, left"],
        "Deployments that ended here.";
    PHASES = "pitcrew_deployment_phase_duration_seconds" Histogram { bounds: LONG }, ["phase" = "draining, installing, returning"],
        "How long each phase of the deployments took that ended here.";
    DEPLOYMENT_DURATION = "pitcrew_deployment_duration_seconds" Histogram { bounds: LONG }, ["outcome" = "as of pitcrew_deployments_total"],
        "From a deployment's first hook to its end here.";
    HOOK_CALLS = "pitcrew_hook_calls_total" Counter, ["event" = "the lifecycle event", "verdict" = "done, failed, timed-out, refused, misconfigured"],
        "Hook calls that were answered.";
    HOOK_DURATION = "pitcrew_hook_duration_seconds" Histogram { bounds: LONG }, ["event" = "the lifecycle event"],
        "From a hook's call to its answer.";
    DRAINS = "pitcrew_drain_duration_seconds" Histogram { bounds: LONG }, ["end" = "idle, delay, gone, deadline"],
        "From when a target was to be out until nothing was in flight there, by what ended the drain.";
    NOTICES = "pitcrew_notices_total" Counter, ["kind" = "spot-terminate, spot-stop, spot-hibernate, rebalance, scheduled, auto-scaling, elastigroup, shutdown, operator"],
        "Notices that were seen.";
    NOTICE_LEFT = "pitcrew_notice_left_seconds" Histogram { bounds: LONG }, ["kind" = "as of pitcrew_notices_total", "moment" = "noticed, left, left-badly"],
        "How much time a notice left when it was seen, and when the instance had left; 0 where it came too late.";
    LEAVES = "pitcrew_leaves_total" Counter, ["outcome" = "left, left-badly"],
        "How often the instance has left, and whether something was skipped or failed.";
    AT_RISK = "pitcrew_at_risk" Gauge, [],
        "1 while advice stands that the risk of an interruption is elevated.";
    BLIND = "pitcrew_blind" Gauge, [],
        "1 while the metadata service does not answer, so that a notice may stand there unheard.";
    BLIND_SECONDS = "pitcrew_blind_seconds_total" Counter, [],
        "For how long it did not answer, in all.";
    IMDS_REQUESTS = "pitcrew_imds_requests_total" Counter, ["outcome" = "ok, absent, throttled, refused, failed, timeout, unreachable"],
        "Requests to the metadata service; absent (404) is a good answer.";
    API_REQUESTS = "pitcrew_api_requests_total" Counter, ["service" = "as requests are signed for: elasticloadbalancing, codedeploy, autoscaling, ec2, ssm; or elastigroup", "operation" = "as the service names it; of elastigroup, method and path, as its allowance is counted", "outcome" = "ok, throttled, refused, failed, timeout, unreachable"],
        "Calls of AWS services, and of Elastigroup.";
    API_DURATION = "pitcrew_api_request_duration_seconds" Histogram { bounds: SHORT }, ["service" = "as of pitcrew_api_requests_total"],
        "How long calls of AWS services and of Elastigroup took, whatever came of them.";
    LEDGER_WRITES = "pitcrew_ledger_writes_total" Counter, ["outcome" = "ok, failed"],
        "Writes of what must survive a crash.";
    HTTP_REQUESTS = "pitcrew_http_requests_total" Counter, ["path" = "the known paths, other", "status" = "of the answer"],
        "Requests to the agent's own HTTP server.";
    HTTP_CONNECTIONS = "pitcrew_http_connections_total" Counter, ["end" = "closed, garbage, slow, evicted"],
        "Connections to the agent's own HTTP server that have ended: evicted ones had to make room.";
    HTTP_OPEN = "pitcrew_http_connections" Gauge, [],
        "Connections to the agent's own HTTP server that are open.";
    PROCESS_CPU = "process_cpu_seconds_total" Counter, [],
        "User and system time of the agent.";
    PROCESS_RSS = "process_resident_memory_bytes" Gauge, [],
        "Resident memory of the agent.";
    PROCESS_FDS = "process_open_fds" Gauge, [],
        "Open file descriptors of the agent.";
    PROCESS_START = "process_start_time_seconds" Gauge, [],
        "When the agent was started, in seconds since 1970.";
}
