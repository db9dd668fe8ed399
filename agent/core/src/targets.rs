//! Target groups as they were last seen, and what it takes to bring them to what is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::asks::Ask;
use crate::core::Core;
use crate::ids::TargetGroupArn;
use crate::memory::{Change, TakenOut};
use crate::time::{Instant, Now, Spoken};
use crate::traffic::Traffic;
use crate::wire::{Action, Failure, FailureKind, GroupFacts, Observation, Target, TargetState};

/// While something is expected to change soon.
const LOOK_SOON: Duration = Duration::from_millis(500);
/// While a change takes its time.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// While a drain goes on: only to notice a target that somebody else puts back.
const LOOK_WHILE_DRAINING: Duration = Duration::from_secs(5);
/// While nothing is wanted but what is.
const LOOK_IDLE: Duration = Duration::from_secs(60);
/// How often what holds this instance is looked for when nothing is wanted.
const DISCOVER_IDLE: Duration = Duration::from_secs(900);
/// A change that seems not to have taken is sent again no sooner.
const CHANGE_AGAIN: Duration = Duration::from_secs(3);
/// Local, and cheap.
const COUNT_CONNECTIONS: Duration = Duration::from_millis(250);
/// AWS's default, where the group could not be asked for its own.
pub(crate) const DEFAULT_DEREGISTRATION_DELAY: Duration = Duration::from_secs(300);
/// A group that does not exist so many times in a row is gone.
const GONE_AFTER: u32 = 3;

/// What is known of the target groups. Forgotten by a restart, and learned again.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    facts: BTreeMap<TargetGroupArn, GroupFacts>,
    /// When the question was sent whose answer is `facts`.
    discovered: Option<Instant>,
    seen: BTreeMap<TargetGroupArn, Seen>,
    ports: BTreeMap<u16, Port>,
}

#[derive(Debug, Default)]
struct Seen {
    /// When the question was sent, and its answer.
    observed: Option<(Instant, Observation)>,
    /// Only what was asked after this instant counts: something was changed, or is wanted anew.
    stale_before: Instant,
    draining_since: BTreeMap<Target, Instant>,
    /// Taken out, and seen to be out, since.
    out: BTreeSet<Target>,
    /// The group's last healthy target is spared.
    spared: bool,
    /// Taken out although the group had no other target.
    alone: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Port {
    connections: Option<usize>,
    idle_since: Option<Instant>,
}

/// How one target stands, for people and for the hook that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not seen since it began to matter.
    Unseen,
    /// The balancer says so.
    Registered(TargetState),
    /// Requests may still come or be in flight.
    Draining { connections: Option<usize>, settled: bool },
    /// Nothing comes and nothing is in flight.
    Drained,
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

impl Groups {
    fn fresh(&self, group: &TargetGroupArn, since: Instant) -> Option<&Observation> {
        self.fresh_and_asked(group, since).map(|(_, observation)| observation)
    }

    fn fresh_and_asked(&self, group: &TargetGroupArn, since: Instant) -> Option<(Instant, &Observation)> {
        let seen = self.seen.get(group)?;
        let (asked, observation) = seen.observed.as_ref()?;
        (*asked >= seen.stale_before.max(since)).then_some((*asked, observation))
    }

    pub(crate) fn latest(&self, group: &TargetGroupArn) -> Option<&Observation> {
        self.seen.get(group)?.observed.as_ref().map(|(_, observation)| observation)
    }

    /// Groups that have no other target, so that requests find nobody while this instance is out.
    pub(crate) fn left_empty(&self) -> impl Iterator<Item = &TargetGroupArn> {
        self.seen.iter().filter(|(_, seen)| seen.alone).map(|(group, _)| group)
    }

    pub(crate) fn is_spared(&self, group: &TargetGroupArn) -> bool {
        self.seen.get(group).is_some_and(|seen| seen.spared)
    }

    fn delay(&self, group: &TargetGroupArn) -> Duration {
        self.facts.get(group).map_or(DEFAULT_DEREGISTRATION_DELAY, |facts| facts.deregistration_delay)
    }

    /// A change was sent or answered: what was seen before says nothing any more.
    fn outdate(&mut self, group: &TargetGroupArn, at: Instant) {
        self.seen.entry(group.clone()).or_default().stale_before = at;
    }

    pub(crate) fn discovered(&mut self, asked: Instant, groups: Vec<GroupFacts>) {
        self.discovered = Some(asked);
        self.facts = groups.into_iter().map(|facts| (facts.arn.clone(), facts)).collect();
    }

    /// Takes an observation in; returns the targets that were out and are registered again.
    pub(crate) fn observed(
        &mut self,
        group: &TargetGroupArn,
        asked: Instant,
        now: Instant,
        observation: Observation,
    ) -> Vec<Target> {
        let seen = self.seen.entry(group.clone()).or_default();
        if asked < seen.stale_before {
            return Vec::new();
        }
        let mut draining_since = BTreeMap::new();
        let mut put_back = Vec::new();
        for (target, state) in &observation.own {
            if state.is_registered() {
                if seen.out.remove(target) {
                    put_back.push(target.clone());
                }
            } else {
                draining_since.insert(target.clone(), seen.draining_since.get(target).copied().unwrap_or(now));
            }
        }
        seen.draining_since = draining_since;
        seen.observed = Some((asked, observation));
        put_back
    }

    /// Notes which of the taken targets are seen to be out, so that one that comes back is known to have been put
    /// back by somebody.
    pub(crate) fn note_out<'a>(&mut self, group: &TargetGroupArn, taken: impl Iterator<Item = &'a Target>) {
        if let Some(seen) = self.seen.get_mut(group)
            && let Some((_, observation)) = &seen.observed
        {
            let registered = |target: &Target| observation.own.get(target).is_some_and(TargetState::is_registered);
            seen.out.extend(taken.filter(|target| !registered(target)).cloned());
        }
    }

    pub(crate) fn counted(&mut self, counts: &BTreeMap<u16, usize>, at: Instant) {
        for (port, seen) in &mut self.ports {
            seen.connections = counts.get(port).copied();
            seen.idle_since = match seen.connections {
                Some(0) => seen.idle_since.or(Some(at)),
                Some(_) | None => None,
            };
        }
    }
}

impl Core {
    /// Brings every group closer to what is wanted.
    pub(crate) fn reconcile(&mut self, now: Now, wanted: &Traffic, actions: &mut Vec<Action>) {
        if self.must_discover(now.at, wanted) {
            actions.push(Action::DiscoverGroups);
        }
        let mut draining = BTreeSet::new();
        for group in &self.known_groups() {
            match wanted {
                Traffic::Out(_) => draining.extend(self.take_out(now.at, group, wanted, actions)),
                Traffic::In => self.bring_back(now.at, group, actions),
            }
        }
        self.watch_ports(now.at, draining, actions);
    }

    fn must_discover(&mut self, now: Instant, wanted: &Traffic) -> bool {
        let fresh = self.groups.discovered.is_some_and(|asked| asked >= self.wanted_since);
        let every = match wanted {
            Traffic::Out(_) if !fresh => Duration::ZERO,
            Traffic::Out(_) => DISCOVER_IDLE,
            Traffic::In if self.groups.discovered.is_none() => Duration::ZERO,
            Traffic::In => DISCOVER_IDLE,
        };
        self.asks.due(&Ask::Discover, now, every)
    }

    fn look(&mut self, now: Instant, group: &TargetGroupArn, every: Duration, actions: &mut Vec<Action>) {
        if self.asks.due(&Ask::Observe(group.clone()), now, every) {
            actions.push(Action::ObserveGroup { group: group.clone() });
        }
    }

    /// Takes this instance's registrations out; returns the ports that drain or have drained.
    fn take_out(
        &mut self,
        now: Instant,
        group: &TargetGroupArn,
        wanted: &Traffic,
        actions: &mut Vec<Action>,
    ) -> BTreeSet<u16> {
        if self.asks.is_under_way(&Ask::Change(group.clone())) {
            return BTreeSet::new();
        }
        let Some(observed) = self.groups.fresh(group, self.wanted_since) else {
            self.look(now, group, Duration::ZERO, actions);
            return BTreeSet::new();
        };
        let unsettled = self.unsettled(group);
        let is_unsettled = unsettled.is_some();
        let is_in = |target: &Target| {
            // Whatever is seen, an earlier register call may have put it back.
            let perhaps = unsettled.filter(|taken| taken.latest != Change::Deregistered);
            observed.own.get(target).is_some_and(TargetState::is_registered)
                || perhaps.is_some_and(|taken| taken.since(target).is_some())
        };
        let (registered, out): (Vec<Target>, Vec<Target>) = self.own(group).into_iter().partition(is_in);
        let draining: BTreeSet<u16> = out.iter().map(|target| target.port).collect();
        let spared = self.settings.keep_last_healthy
            && wanted.is_out_for_deployments_only()
            && observed.peers > 0
            && observed.healthy_peers == 0
            && observed.own.values().any(|state| *state == TargetState::Healthy);
        let alone = observed.peers == 0 && !registered.is_empty();
        let seen = self.groups.seen.entry(group.clone()).or_default();
        seen.spared = spared;
        seen.alone |= alone;
        if spared {
            self.look(now, group, LOOK_AGAIN, actions);
        } else if !registered.is_empty() {
            self.deregister(now, group, registered, actions);
        } else {
            let every = if is_unsettled || !draining.is_empty() { LOOK_WHILE_DRAINING } else { LOOK_IDLE };
            self.look(now, group, every, actions);
        }
        draining
    }

    fn deregister(&mut self, now: Instant, group: &TargetGroupArn, targets: Vec<Target>, actions: &mut Vec<Action>) {
        if !self.asks.due(&Ask::Change(group.clone()), now, CHANGE_AGAIN) {
            self.look(now, group, LOOK_SOON, actions);
            return;
        }
        let delay = self.groups.delay(group);
        self.memory.remember_targets(group, delay, &targets, now);
        self.groups.outdate(group, now);
        actions.push(Action::Deregister { group: group.clone(), targets });
    }

    /// Gives back what was taken from a group, once the application is well.
    fn bring_back(&mut self, now: Instant, group: &TargetGroupArn, actions: &mut Vec<Action>) {
        let Some(taken) = self.memory.taken_out.get(group) else {
            self.look(now, group, LOOK_IDLE, actions);
            return;
        };
        if self.asks.is_under_way(&Ask::Change(group.clone())) {
            return;
        }
        if !self.health.is_healthy() || self.blocked_by_codedeploy().is_some() {
            self.look(now, group, LOOK_IDLE, actions);
            return;
        }
        let Some(observed) = self.groups.fresh(group, self.wanted_since) else {
            self.look(now, group, Duration::ZERO, actions);
            return;
        };
        let registered = |target: &Target| observed.own.get(target).is_some_and(TargetState::is_registered);
        let settled = self.unsettled(group).is_none();
        // Whatever is seen, the deregister call may have taken them out.
        let all = !settled && taken.latest != Change::Registered;
        let targets = taken.targets.iter().map(|(target, _)| target);
        let missing: Vec<Target> = targets.filter(|target| all || !registered(target)).cloned().collect();
        if !missing.is_empty() {
            self.register(now, group, missing, actions);
        } else if !taken.targets.iter().all(|(target, _)| observed.own.get(target).is_some_and(is_back)) {
            let waited = now.since(self.wanted_since);
            self.look(now, group, (waited / 10).clamp(LOOK_SOON, LOOK_AGAIN), actions);
        } else if !settled {
            self.look(now, group, LOOK_WHILE_DRAINING, actions);
        } else {
            self.forget_taken(group);
            self.look(now, group, LOOK_IDLE, actions);
        }
    }

    fn register(&mut self, now: Instant, group: &TargetGroupArn, targets: Vec<Target>, actions: &mut Vec<Action>) {
        if !self.asks.due(&Ask::Change(group.clone()), now, CHANGE_AGAIN) {
            self.look(now, group, LOOK_SOON, actions);
            return;
        }
        if let Some(taken) = self.memory.taken_out.get_mut(group) {
            taken.unsettle(Change::Registering, now);
        }
        self.groups.outdate(group, now);
        actions.push(Action::Register { group: group.clone(), targets });
    }

    /// Everything that was taken from the group is back.
    fn forget_taken(&mut self, group: &TargetGroupArn) {
        if let Some(taken) = self.memory.taken_out.remove(group) {
            // Groups are found by whom they hold: asked meanwhile, this one would not have been among them.
            let facts = GroupFacts { arn: group.clone(), deregistration_delay: taken.deregistration_delay };
            self.groups.facts.entry(group.clone()).or_insert(facts);
        }
        if let Some(seen) = self.groups.seen.get_mut(group) {
            seen.out.clear();
            seen.alone = false;
        }
        self.asks.afresh(&Ask::Change(group.clone()));
    }

    /// Counts connections until nothing drains any more; what was counted is kept for as long as its port is out.
    fn watch_ports(&mut self, now: Instant, out: BTreeSet<u16>, actions: &mut Vec<Action>) {
        self.groups.ports.retain(|port, _| out.contains(port));
        for port in &out {
            self.groups.ports.entry(*port).or_default();
        }
        if !out.is_empty() && self.is_draining(now) && self.asks.due(&Ask::Connections, now, COUNT_CONNECTIONS) {
            actions.push(Action::CountConnections { ports: out.into_iter().collect() });
        }
    }

    fn is_draining(&self, now: Instant) -> bool {
        self.groups.seen.keys().any(|group| {
            self.own(group).iter().any(|target| match self.standing(now, group, target) {
                Standing::Draining { .. } => true,
                Standing::Unseen | Standing::Registered(_) | Standing::Drained => false,
            })
        })
    }

    /// What was taken from a group, as long as the latest look at it may be older than the latest change.
    fn unsettled(&self, group: &TargetGroupArn) -> Option<&TakenOut> {
        let (asked, _) = self.groups.fresh_and_asked(group, self.wanted_since)?;
        self.memory.taken_out.get(group).filter(|taken| asked < taken.settles_at)
    }

    /// This instance's targets in a group: those that are seen there, and those that may only not be seen.
    fn own(&self, group: &TargetGroupArn) -> BTreeSet<Target> {
        let seen = self.groups.fresh(group, self.wanted_since).into_iter().flat_map(|observed| observed.own.keys());
        let taken = self.unsettled(group).into_iter().flat_map(|taken| taken.targets.iter().map(|(target, _)| target));
        seen.chain(taken).cloned().collect()
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
            (None, None) => Standing::Drained,
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
        if quiet || now >= began.after(delay) {
            Standing::Drained
        } else {
            Standing::Draining { connections: port.connections, settled: now >= settled_at }
        }
    }

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
            Standing::Drained => None,
            Standing::Unseen => Some("not seen yet".into()),
            Standing::Registered(state) => Some(format!("port {} still {state}", target.port)),
            Standing::Draining { connections, settled } => {
                self.asks.wake_no_later_than(now.after(COUNT_CONNECTIONS));
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

    /// Takes an observation in, and counts targets that somebody else put back while they were to stay out.
    pub(crate) fn group_observed(
        &mut self,
        now: Instant,
        group: &TargetGroupArn,
        answer: Result<Observation, Failure>,
    ) {
        let ask = Ask::Observe(group.clone());
        let Some(asked) = self.asks.answered(&ask, now, answer.as_ref().err()) else { return };
        let put_back = match answer {
            Ok(observation) => self.groups.observed(group, asked, now, observation),
            Err(failure) if failure.kind == FailureKind::NotFound => return self.forget_if_gone(&ask, group),
            Err(_) => return,
        };
        let Some(taken) = self.memory.taken_out.get_mut(group) else {
            return;
        };
        if !self.wanted.is_in() {
            let ours = put_back.iter().filter(|target| taken.since(target).is_some()).count();
            taken.put_back = taken.put_back.saturating_add(u32::try_from(ours).unwrap_or(u32::MAX));
        }
        self.groups.note_out(group, taken.targets.iter().map(|(target, _)| target));
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

    /// Takes the outcome of a register or deregister call in; `change`: what is so, where it worked.
    pub(crate) fn changed(
        &mut self,
        now: Instant,
        group: &TargetGroupArn,
        change: Change,
        answer: Result<(), Failure>,
    ) {
        let ask = Ask::Change(group.clone());
        let Some(sent) = self.asks.answered(&ask, now, answer.as_ref().err()) else { return };
        self.groups.outdate(group, now);
        let taken = self.memory.taken_out.get_mut(group);
        match answer.map_err(|failure| failure.kind) {
            Ok(()) => taken.into_iter().for_each(|taken| taken.took_effect(change, sent, now)),
            Err(FailureKind::Unavailable) => taken.into_iter().for_each(|taken| taken.unsettle(taken.latest, now)),
            Err(FailureKind::NotFound) => self.forget_if_gone(&ask, group),
            Err(FailureKind::Throttled | FailureKind::Denied | FailureKind::Invalid) => {}
        }
    }

    /// A group that was deleted cannot be given anything back.
    fn forget_if_gone(&mut self, ask: &Ask, group: &TargetGroupArn) {
        if self.asks.failures(ask) < GONE_AFTER {
            return;
        }
        self.memory.taken_out.remove(group);
        self.groups.facts.remove(group);
        self.groups.seen.remove(group);
        self.asks.forget(&Ask::Change(group.clone()));
        self.asks.forget(&Ask::Observe(group.clone()));
    }

    /// What is wanted has changed: forget the pace of all questions, and the failures that were said.
    pub(crate) fn look_afresh(&mut self) {
        for group in self.known_groups() {
            self.asks.afresh(&Ask::Observe(group.clone()));
            self.asks.afresh(&Ask::Change(group));
        }
        self.asks.afresh(&Ask::Discover);
    }

    pub(crate) fn known_groups(&self) -> BTreeSet<TargetGroupArn> {
        self.groups.facts.keys().chain(self.memory.taken_out.keys()).cloned().collect()
    }
}

/// Nothing more is to be waited for: in service, or registered where no traffic comes anyway.
fn is_back(state: &TargetState) -> bool {
    match state {
        TargetState::Healthy | TargetState::NotInUse => true,
        TargetState::Initial
        | TargetState::Unhealthy(_)
        | TargetState::Draining
        | TargetState::Unavailable(_)
        | TargetState::Unknown(_) => false,
    }
}
