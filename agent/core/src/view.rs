//! What the core shows of itself: one document for the status command, the health endpoint and the service manager.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::Core;
use crate::elastigroup::ElastigroupView;
use crate::ids::{DeploymentGroup, DeploymentId, ProbeName, TargetGroupArn};
use crate::leaving::Stage;
use crate::lifecycle::LifecycleEvent;
use crate::memory::{Change, Ended};
use crate::notice::Notice;
use crate::readiness::Readiness;
use crate::revision::Revision;
use crate::standing::{DrainEnd, Progress, Standing};
use crate::suspect::Suspect;
use crate::time::{Instant, Now, Spoken, WallTime};
use crate::traffic::{Traffic, Why};
use crate::wire::{HostAgent, Owner, Target, TargetState};

/// A snapshot. Durations are milliseconds, times are milliseconds since 1970 UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// When this was so.
    #[serde(default)]
    pub at: WallTime,
    /// What this instance is doing now, in one sentence.
    pub sentence: String,
    /// In one word.
    pub state: State,
    /// Where traffic belongs.
    pub wanted: Traffic,
    /// Whether everything is where it belongs.
    pub settled: bool,
    /// Whether every local probe passes that decides.
    pub healthy: bool,
    /// What a balancer that asks is told, and why.
    #[serde(default)]
    pub readiness: Readiness,
    /// Open deployments.
    pub deployments: Vec<DeploymentView>,
    /// Deployments that ended here, newest last.
    pub ended: Vec<Ended>,
    /// The deployment that ended badly and left the application unwell, as far as is known.
    pub suspect: Option<Suspect>,
    /// An operator holds the instance out of traffic.
    pub hold: Option<HoldView>,
    /// The notices under which the instance leaves.
    pub notices: Vec<Notice>,
    /// Milliseconds until the earliest end that a notice names.
    pub leaving_in_ms: Option<u64>,
    /// How far leaving has come.
    #[serde(default)]
    pub leaving_stage: Option<Stage>,
    /// How it stands with its Elastigroup; `None`: there is no token for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elastigroup: Option<ElastigroupView>,
    /// Advice that stands: the risk of an interruption is elevated.
    pub at_risk: Option<Notice>,
    /// Since when the metadata service has not answered, so that a notice may stand there unheard.
    pub blind_since: Option<WallTime>,
    /// This instance's registrations.
    pub targets: Vec<TargetView>,
    /// The local probes.
    pub probes: Vec<ProbeView>,
    /// The agents of AWS that are installed on this host.
    #[serde(default)]
    pub host_agents: Vec<HostAgent>,
    /// Failures of calls that nothing has mended yet, in words.
    pub troubles: Vec<String>,
}

/// An operator's `pitcrew out`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldView {
    /// When it ends by itself; `None`: with `pitcrew in`.
    pub until: Option<WallTime>,
}

/// The agent's state in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Probes have not all answered yet, or the target groups are not known yet.
    Starting,
    /// In traffic.
    Serving,
    /// On the way back into traffic.
    Returning,
    /// Out of traffic, or on the way out, for a deployment.
    Deploying,
    /// Out of traffic, or on the way out, because an operator said so.
    Held,
    /// Out of traffic until the application is healthy.
    Unhealthy,
    /// Being taken away.
    Leaving,
}

impl State {
    /// The word used in tags, metrics and for people.
    pub fn word(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Serving => "serving",
            State::Returning => "returning",
            State::Deploying => "deploying",
            State::Held => "held",
            State::Unhealthy => "unhealthy",
            State::Leaving => "leaving",
        }
    }
}

/// An open deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentView {
    /// Its id.
    pub id: DeploymentId,
    /// Whose it is.
    pub group: DeploymentGroup,
    /// Who moves traffic for it.
    pub owner: Owner,
    /// Whether it keeps traffic out.
    pub holds_traffic: bool,
    /// Its latest lifecycle event.
    pub last_event: LifecycleEvent,
    /// When its first hook called.
    pub opened: WallTime,
    /// Milliseconds since it was last heard of.
    pub silent_ms: u64,
    /// What it brings.
    pub revision: Revision,
}

/// One registration of this instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetView {
    /// In this target group.
    pub group: TargetGroupArn,
    /// This registration.
    pub target: Target,
    /// The balancer's latest word; `None`: not registered.
    pub balancer: Option<TargetState>,
    /// How it stands, in words.
    pub standing: String,
    /// It was taken out and is to be given back.
    pub taken_out: bool,
    /// How often somebody else put it back meanwhile.
    pub put_back: u32,
    /// It is to be out, and nothing is in flight any more: what ended its drain.
    #[serde(default)]
    pub drained: Option<DrainEnd>,
}

/// A local probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeView {
    /// Its name.
    pub name: ProbeName,
    /// `None`: has not answered yet.
    pub passing: Option<bool>,
    /// Why its latest bad answer was bad.
    pub reason: Option<String>,
    /// Milliseconds since its latest answer.
    pub answered_ms: Option<u64>,
    /// It is only shown, and decides nothing.
    #[serde(default)]
    pub advisory: bool,
}

impl Core {
    /// A snapshot for people and machines.
    pub fn view(&mut self, now: Now) -> View {
        let progress = match self.wanted {
            Traffic::In => self.is_known_to_be_in(),
            Traffic::Out(_) => self.is_out(now),
        };
        let state = self.state(&progress);
        View {
            at: now.wall,
            sentence: self.sentence(now, state, &progress),
            state,
            wanted: self.wanted.clone(),
            settled: progress == Progress::There,
            healthy: self.health.is_healthy(),
            readiness: self.readiness(),
            deployments: self.deployments(now),
            ended: self.memory.ended.clone(),
            suspect: self.memory.suspect.clone(),
            hold: self.memory.hold.map(|hold| HoldView { until: hold.until.map(|until| wall_time_of(until, now)) }),
            notices: self.memory.leaving.as_ref().map(|leaving| leaving.notices.clone()).unwrap_or_default(),
            leaving_in_ms: self.memory.leaving.as_ref().map(|leaving| ms(leaving.deadline.remaining(now.at))),
            leaving_stage: self.memory.leaving.as_ref().map(|leaving| leaving.stage),
            elastigroup: self.elastigroup_view(now),
            at_risk: self.advice.clone(),
            blind_since: self.blind.as_ref().map(|(since, _)| since.wall),
            targets: self.targets(now),
            probes: self.probes(now),
            host_agents: self.host_agents.clone(),
            troubles: self.troubles(),
        }
    }

    fn state(&self, progress: &Progress) -> State {
        match &self.wanted {
            Traffic::Out(Why::Leaving(_)) => State::Leaving,
            Traffic::Out(Why::Held) => State::Held,
            Traffic::Out(Why::Deploying(_)) => State::Deploying,
            Traffic::In if self.health.deciding().any(|(_, probe)| probe.passing.is_none()) => State::Starting,
            Traffic::In if !self.health.is_healthy() => State::Unhealthy,
            Traffic::In if self.unknown().is_some() && !self.memory.is_out() => match progress {
                Progress::Underway(_) => State::Starting,
                // Whoever may not ask never knows, and serves as well.
                Progress::There | Progress::Stuck(_) => State::Serving,
            },
            Traffic::In if *progress == Progress::There => State::Serving,
            Traffic::In => State::Returning,
        }
    }

    fn sentence(&self, now: Now, state: State, progress: &Progress) -> String {
        let how_far = match progress {
            Progress::There => None,
            Progress::Underway(sentence) => Some(sentence.clone()),
            Progress::Stuck(failure) => Some(failure.sentence.clone()),
        };
        let complaint = self.health.complaint().unwrap_or_default();
        let out = how_far.clone().unwrap_or_else(|| "out of traffic".into());
        match (&self.wanted, state) {
            (Traffic::Out(Why::Leaving(kind)), _) => {
                let Some(leaving) = &self.memory.leaving else { return out };
                let left = Spoken(leaving.deadline.remaining(now.at));
                match leaving.stage {
                    Stage::Draining => format!("leaving ({kind}, {left} left): {out}"),
                    Stage::Done => format!("left ({kind}): {out}"),
                    Stage::Scripts | Stage::Tags | Stage::Release => {
                        format!("leaving ({kind}, {left} left): {}", leaving.stage.word())
                    }
                }
            }
            (Traffic::Out(Why::Held), _) => format!("held by an operator: {out}"),
            (Traffic::Out(Why::Deploying(ids)), _) => {
                let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
                format!("deployment {}: {out}", ids.join(", "))
            }
            (Traffic::In, State::Starting) if complaint.is_empty() => {
                format!("starting: {}", how_far.unwrap_or_default())
            }
            (Traffic::In, State::Starting) => format!("starting: {complaint}"),
            (Traffic::In, State::Unhealthy) if self.memory.is_out() => {
                format!("unhealthy, staying out of traffic: {complaint}")
            }
            (Traffic::In, State::Unhealthy) => format!("unhealthy: {complaint}"),
            (Traffic::In, State::Returning) => {
                format!("returning to traffic: {}", how_far.unwrap_or_default())
            }
            (Traffic::In, _) => match progress {
                Progress::Stuck(failure) => format!("not known whether in traffic: {}", failure.sentence),
                Progress::There | Progress::Underway(_) => self.serving_sentence(),
            },
        }
    }

    fn serving_sentence(&self) -> String {
        let groups = self.known_groups();
        let with_us: Vec<_> = groups
            .iter()
            .filter_map(|group| self.groups.latest(group))
            .filter(|observation| observation.own.values().any(TargetState::is_registered))
            .collect();
        let healthy = with_us.iter().filter(|o| o.own.values().any(|state| *state == TargetState::Healthy)).count();
        match with_us.len() {
            0 => "in no target group".into(),
            1 => format!("in traffic: healthy in {healthy} of 1 target group"),
            n => format!("in traffic: healthy in {healthy} of {n} target groups"),
        }
    }

    fn deployments(&self, now: Now) -> Vec<DeploymentView> {
        self.memory
            .leases
            .iter()
            .map(|(id, lease)| DeploymentView {
                id: id.clone(),
                group: lease.group.clone(),
                owner: lease.owner,
                holds_traffic: lease.holds_traffic,
                last_event: lease.last_event,
                opened: lease.opened.wall,
                silent_ms: ms(now.at.since(lease.heard)),
                revision: lease.revision.clone(),
            })
            .collect()
    }

    fn targets(&self, now: Now) -> Vec<TargetView> {
        let mut views = Vec::new();
        for group in self.known_groups() {
            let taken = self.memory.taken_out.get(&group);
            let latest = self.groups.latest(&group);
            let mut targets: Vec<&Target> = latest.map(|seen| seen.own.keys().collect()).unwrap_or_default();
            targets.extend(taken.iter().flat_map(|taken| taken.targets.iter().map(|(target, _)| target)));
            targets.sort();
            targets.dedup();
            views.extend(targets.into_iter().map(|target| {
                let balancer = latest.and_then(|seen| seen.own.get(target)).cloned();
                let (standing, drained) = match (&self.wanted, &balancer) {
                    (Traffic::Out(_), _) => self.said_of_leaving(now, &group, target),
                    (Traffic::In, Some(state)) => (state.to_string(), None),
                    (Traffic::In, None) => ("not registered".into(), None),
                };
                TargetView {
                    group: group.clone(),
                    target: target.clone(),
                    balancer,
                    standing,
                    taken_out: taken.is_some_and(|t| t.since(target).is_some() && t.latest != Change::Registered),
                    put_back: taken.map_or(0, |taken| taken.put_back),
                    drained,
                }
            }));
        }
        views
    }

    /// How a target stands that is to be out, in words, and what ended its drain.
    fn said_of_leaving(&self, now: Now, group: &TargetGroupArn, target: &Target) -> (String, Option<DrainEnd>) {
        let standing = self.standing(now.at, group, target);
        let drained = match &standing {
            Standing::Drained(end) => Some(*end),
            Standing::Draining { .. } => {
                let cut_short = self.memory.leaving.as_ref().is_some_and(|leaving| leaving.stage != Stage::Draining);
                cut_short.then_some(DrainEnd::Deadline)
            }
            Standing::Unseen | Standing::Registered(_) => None,
        };
        (said(&standing), drained)
    }

    fn probes(&self, now: Now) -> Vec<ProbeView> {
        self.health
            .iter()
            .map(|(name, probe)| ProbeView {
                name: name.clone(),
                passing: probe.passing,
                reason: probe.reason.clone(),
                answered_ms: probe.answered.map(|at| ms(now.at.since(at))),
                advisory: probe.is_advisory(),
            })
            .collect()
    }
}

fn said(standing: &Standing) -> String {
    match standing {
        Standing::Unseen => "not seen yet".into(),
        Standing::Registered(state) => state.to_string(),
        Standing::Draining { connections: Some(n), settled: true, .. } => format!("draining, {n} connections"),
        Standing::Draining { connections: None, settled: true, .. } => "draining, connections unknown".into(),
        Standing::Draining { settled: false, .. } => "draining, settling".into(),
        Standing::Drained(_) => "drained".into(),
    }
}

/// What the clock for people shows at an instant to come.
fn wall_time_of(instant: Instant, now: Now) -> WallTime {
    WallTime(now.wall.0.saturating_add(ms(instant.remaining(now.at))))
}

fn ms(duration: Duration) -> u64 {
    crate::time::millis(duration)
}
