//! How this instance stands in its target groups, against what is wanted.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::asks::Ask;
use crate::core::Core;
use crate::ids::TargetGroupArn;
use crate::memory::{Change, TakenOut};
use crate::targets::{COUNT_CONNECTIONS, LOOK_SOON};
use crate::time::{Instant, Now, Spoken};
use crate::wire::{Action, Failure, Observation, Target, TargetState};

/// How one target stands, for people and for the hook that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not seen since it began to matter.
    Unseen,
    /// The balancer says so.
    Registered(TargetState),
    /// Requests may still come or be in flight.
    Draining { connections: Option<usize>, settled: bool, counts_from: Instant },
    /// Nothing comes and nothing is in flight.
    Drained(DrainEnd),
}

/// What ended a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrainEnd {
    /// No connection was open for the quiet period.
    Idle,
    /// The deregistration delay is over.
    Delay,
    /// The balancer no longer knows the target.
    Gone,
    /// The instance leaves, and had no more time for it.
    Deadline,
}

impl DrainEnd {
    /// The word used in metrics and for people.
    pub fn word(self) -> &'static str {
        match self {
            DrainEnd::Idle => "idle",
            DrainEnd::Delay => "delay",
            DrainEnd::Gone => "gone",
            DrainEnd::Deadline => "deadline",
        }
    }
}

/// How the groups stand, taken together, against what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// As wanted.
    There,
    /// Not yet; one sentence says how far.
    Underway(String),
    /// Not without an operator.
    Stuck(Failure),
}

impl Core {
    /// Whether every group is out and drained.
    pub(crate) fn is_out(&mut self, now: Now) -> Progress {
        if let Some(failure) = self.hopeless(&[Ask::Discover]) {
            return Progress::Stuck(failure);
        }
        if self.groups.discovered.is_none_or(|asked| asked < self.wanted_since) {
            return Progress::Underway(self.blocked_by(&[Ask::Discover], "looking for target groups".into()));
        }
        let groups = self.known_groups();
        let mut out = 0;
        let mut said = Vec::new();
        for group in &groups {
            let asks = [Ask::Observe(group.clone()), Ask::Change(group.clone())];
            if let Some(failure) = self.hopeless(&asks) {
                return Progress::Stuck(failure);
            }
            match self.group_out(now.at, group) {
                None => out += 1,
                Some(sentence) => said.push(self.blocked_by(&asks, format!("{}: {sentence}", group.short()))),
            }
        }
        if said.is_empty() {
            return Progress::There;
        }
        Progress::Underway(format!("{out} of {} target groups out; {}", groups.len(), said.join("; ")))
    }

    fn group_out(&mut self, now: Instant, group: &TargetGroupArn) -> Option<String> {
        if self.groups.is_spared(group) {
            return Some("no other target is healthy, waiting for one (keep_last_healthy)".into());
        }
        if self.groups.fresh(group, self.wanted_since).is_none() {
            return Some("not seen yet".into());
        }
        self.own(group).iter().find_map(|target| match self.standing(now, group, target) {
            Standing::Drained(_) => None,
            Standing::Unseen => Some("not seen yet".into()),
            Standing::Registered(state) => Some(format!("port {} still {state}", target.port)),
            Standing::Draining { connections, settled, counts_from } => {
                self.asks.wake_no_later_than(now.after(COUNT_CONNECTIONS).max(counts_from));
                Some(match (connections, settled) {
                    (Some(0), true) => format!("draining port {}, quiet", target.port),
                    (_, false) => format!("draining port {}, settling", target.port),
                    (Some(1), true) => format!("draining port {}, 1 connection open", target.port),
                    (Some(n), true) => format!("draining port {}, {n} connections open", target.port),
                    (None, true) => format!(
                        "draining port {}, connections cannot be counted, waiting for the deregistration delay of {}",
                        target.port,
                        Spoken(self.groups.delay(group))
                    ),
                })
            }
        })
    }

    /// Whether everything that was taken is back.
    pub(crate) fn is_back_in(&self) -> Progress {
        if let Some(id) = self.blocked_by_codedeploy().filter(|_| self.memory.is_out()) {
            return Progress::Underway(format!("CodeDeploy keeps traffic out for deployment {id}"));
        }
        let mut said = Vec::new();
        for (group, taken) in &self.memory.taken_out {
            let asks = [Ask::Observe(group.clone()), Ask::Change(group.clone())];
            if let Some(failure) = self.hopeless(&asks) {
                return Progress::Stuck(failure);
            }
            let Some(observed) = self.groups.fresh(group, self.wanted_since) else {
                said.push(self.blocked_by(&asks, format!("{}: not seen yet", group.short())));
                continue;
            };
            let waiting = taken.targets.iter().find_map(|(target, _)| match observed.own.get(target) {
                Some(state) if is_back(state) => None,
                Some(state) => Some(format!("port {} {state}", target.port)),
                None => Some(format!("port {} not registered yet", target.port)),
            });
            if let Some(waiting) = waiting {
                said.push(self.blocked_by(&asks, format!("{}: {waiting}", group.short())));
            }
        }
        if said.is_empty() { Progress::There } else { Progress::Underway(said.join("; ")) }
    }

    /// The same, where all groups that hold this instance are known and were seen: before that nobody can say that it is
    /// in traffic.
    pub(crate) fn is_known_to_be_in(&self) -> Progress {
        let Some(ask) = self.unknown() else { return self.is_back_in() };
        let asks = [ask];
        match self.hopeless(&asks) {
            Some(failure) => Progress::Stuck(failure),
            None => Progress::Underway(self.blocked_by(&asks, "target groups are not known yet".into())),
        }
    }

    /// The question whose first answer would say more of where this instance is registered.
    pub(crate) fn unknown(&self) -> Option<Ask> {
        if self.groups.discovered.is_none() {
            return Some(Ask::Discover);
        }
        self.known_groups().into_iter().find(|group| self.groups.latest(group).is_none()).map(Ask::Observe)
    }

    /// Whether each registration of this instance, whoever made it, is healthy in the balancer; by what was asked
    /// after `since`.
    pub(crate) fn is_healthy_in_balancer(
        &mut self,
        now: Instant,
        since: Instant,
        actions: &mut Vec<Action>,
    ) -> Progress {
        let mut said = Vec::new();
        let registrations = match self.registrations(now, since, actions) {
            Ok(registrations) => registrations,
            Err(progress) => return progress,
        };
        for (group, observed) in registrations {
            if let Some((target, state)) = observed.own.iter().find(|(_, state)| !is_back(state)) {
                said.push(format!("{}: port {} {state}", group.short(), target.port));
                self.look(now, &group, LOOK_SOON, actions);
            }
        }
        if said.is_empty() { Progress::There } else { Progress::Underway(said.join("; ")) }
    }

    /// Whether any target group has this instance registered; an error: how far the look has come.
    pub(crate) fn is_registered_anywhere(
        &mut self,
        now: Instant,
        since: Instant,
        actions: &mut Vec<Action>,
    ) -> Result<bool, Progress> {
        let registrations = self.registrations(now, since, actions)?;
        Ok(registrations.iter().any(|(_, observed)| observed.own.values().any(TargetState::is_registered)))
    }

    /// Every known group as it was seen after `since`; an error: not all were seen yet, or cannot be.
    fn registrations(
        &mut self,
        now: Instant,
        since: Instant,
        actions: &mut Vec<Action>,
    ) -> Result<Vec<(TargetGroupArn, Observation)>, Progress> {
        if self.groups.discovered.is_none_or(|asked| asked < since) {
            if self.asks.due(&Ask::Discover, now, Duration::ZERO) {
                actions.push(Action::DiscoverGroups);
            }
            return match self.hopeless(&[Ask::Discover]) {
                Some(failure) => Err(Progress::Stuck(failure)),
                None => Err(Progress::Underway(self.blocked_by(&[Ask::Discover], "looking for target groups".into()))),
            };
        }
        let mut seen = Vec::new();
        let mut unseen = Ok(());
        for group in self.known_groups() {
            match self.groups.fresh(&group, since) {
                Some(observed) => seen.push((group, observed.clone())),
                None => {
                    let ask = [Ask::Observe(group.clone())];
                    if let Some(failure) = self.hopeless(&ask) {
                        return Err(Progress::Stuck(failure));
                    }
                    self.look(now, &group, Duration::ZERO, actions);
                    let sentence = format!("{}: not seen yet", group.short());
                    unseen = Err(Progress::Underway(self.blocked_by(&ask, sentence)));
                }
            }
        }
        unseen.map(|()| seen)
    }

    /// How one of this instance's targets stands. Only what was asked since traffic is wanted as it is counts.
    pub(crate) fn standing(&self, now: Instant, group: &TargetGroupArn, target: &Target) -> Standing {
        let Some(observed) = self.groups.fresh(group, self.wanted_since) else {
            return Standing::Unseen;
        };
        let unsettled = self.unsettled(group).filter(|taken| taken.since(target).is_some());
        match (observed.own.get(target), unsettled.map(|taken| taken.latest)) {
            (Some(state), _) if state.is_registered() => Standing::Registered(state.clone()),
            (_, Some(Change::Deregistering | Change::Registering | Change::Registered)) => Standing::Unseen,
            (Some(_), None) | (_, Some(Change::Deregistered)) => self.draining(now, group, target),
            (None, None) => Standing::Drained(DrainEnd::Gone),
        }
    }

    /// `draining` in the balancer's words lasts for the whole deregistration delay; here it is over when new
    /// requests have had time to stop and no connection was open for the quiet period.
    fn draining(&self, now: Instant, group: &TargetGroupArn, target: &Target) -> Standing {
        let seen = self.groups.seen.get(group).and_then(|seen| seen.draining_since.get(target)).copied();
        let taken = self.memory.taken_out.get(group);
        let began = seen.max(taken.and_then(|taken| taken.since(target))).unwrap_or(now);
        let settled_at = began.after(self.settings.settle);
        let delay = taken.map_or_else(|| self.groups.delay(group), |taken| taken.deregistration_delay);
        let port = self.groups.ports.get(&target.port).copied().unwrap_or_default();
        let quiet = port.idle_since.is_some_and(|idle| now >= idle.max(settled_at).after(self.settings.quiet_period));
        if quiet {
            Standing::Drained(DrainEnd::Idle)
        } else if now >= began.after(delay) {
            Standing::Drained(DrainEnd::Delay)
        } else {
            // Before new requests have stopped, a count says nothing; the first is there when they have.
            let counts_from = began.after(self.settings.settle.saturating_sub(COUNT_CONNECTIONS));
            Standing::Draining { connections: port.connections, settled: now >= settled_at, counts_from }
        }
    }

    /// This instance's targets in a group: those that are seen there, and those that may only not be seen.
    pub(crate) fn own(&self, group: &TargetGroupArn) -> BTreeSet<Target> {
        let seen = self.groups.fresh(group, self.wanted_since).into_iter().flat_map(|observed| observed.own.keys());
        let taken = self.unsettled(group).into_iter().flat_map(|taken| taken.targets.iter().map(|(target, _)| target));
        seen.chain(taken).cloned().collect()
    }

    /// What was taken from a group, as long as the latest look at it may be older than the latest change.
    pub(crate) fn unsettled(&self, group: &TargetGroupArn) -> Option<&TakenOut> {
        let (asked, _) = self.groups.fresh_and_asked(group, self.wanted_since)?;
        self.memory.taken_out.get(group).filter(|taken| asked < taken.settles_at)
    }

    fn hopeless(&self, asks: &[Ask]) -> Option<Failure> {
        asks.iter()
            .filter_map(|ask| self.asks.failure(ask))
            .find(|(at, failure)| *at >= self.wanted_since && !failure.kind.is_transient())
            .map(|(_, failure)| failure.clone())
    }

    pub(crate) fn blocked_by(&self, asks: &[Ask], sentence: String) -> String {
        match asks.iter().find_map(|ask| self.asks.failure(ask)) {
            Some((_, failure)) => format!("{sentence} ({})", failure.sentence),
            None => sentence,
        }
    }
}

/// Nothing more is to be waited for: in service, or registered where no traffic comes anyway.
pub(crate) fn is_back(state: &TargetState) -> bool {
    match state {
        TargetState::Healthy | TargetState::NotInUse => true,
        TargetState::Initial
        | TargetState::Unhealthy(_)
        | TargetState::Draining
        | TargetState::Unavailable(_)
        | TargetState::Unknown(_) => false,
    }
}
