//! Brings this instance's registrations to what is wanted: the difference between wanted and observed, call by call.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::asks::Ask;
use crate::core::Core;
use crate::elastigroup::Topic;
use crate::ids::TargetGroupArn;
use crate::memory::{Change, TakenOut};
use crate::settings::OnAdvice;
use crate::standing::{Standing, is_back};
use crate::time::{Instant, Now};
use crate::traffic::Traffic;
use crate::wire::{Action, Failure, FailureKind, GroupFacts, Observation, Owner, Target, TargetState};

/// While something is expected to change soon.
pub(crate) const LOOK_SOON: Duration = Duration::from_millis(500);
/// While a change takes its time.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// While a drain goes on, or the end is near: only to notice a target that somebody else puts back.
const LOOK_WHILE_DRAINING: Duration = Duration::from_secs(5);
/// While the instance leaves and a deployment is open for which CodeDeploy will put it back: the data plane hears of a
/// registration a second or more later, and until then nothing is lost.
const LOOK_BEFORE_PUT_BACK: Duration = Duration::from_secs(1);
/// While nothing is wanted but what is.
const LOOK_IDLE: Duration = Duration::from_secs(60);
/// The same, of all targets of a large group together.
const LOOK_EACH: Duration = Duration::from_secs(1);
/// The same, at least.
const LOOK_RARELY: Duration = Duration::from_secs(900);
/// How often what holds this instance is looked for when nothing is wanted.
const DISCOVER_IDLE: Duration = Duration::from_secs(900);
/// A change that seems not to have taken is sent again no sooner.
const CHANGE_AGAIN: Duration = Duration::from_secs(3);
/// Local, and cheap.
pub(crate) const COUNT_CONNECTIONS: Duration = Duration::from_millis(250);
/// A group that does not exist so many times in a row is gone.
const GONE_AFTER: u32 = 3;

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
            // What failed is asked again as failures are, though an earlier answer is fresh enough.
            Traffic::Out(_) if !fresh || self.asks.failures(&Ask::Discover) > 0 => Duration::ZERO,
            Traffic::Out(_) => DISCOVER_IDLE,
            Traffic::In if self.groups.discovered.is_none() => Duration::ZERO,
            Traffic::In => DISCOVER_IDLE.max(self.at_rest().saturating_mul(4)),
        };
        self.asks.due(&Ask::Discover, now, every)
    }

    /// How often one looks where nothing is wanted but what is. The limits of the API are the account's: a fleet that
    /// looked every minute would use them up at rest, so each target of a large group looks less often.
    fn at_rest(&self) -> Duration {
        if self.settings.on_foreign_drain == OnAdvice::Drain {
            return LOOK_IDLE;
        }
        let peers = self.groups.most_peers().try_into().unwrap_or(u32::MAX);
        LOOK_EACH.saturating_mul(peers).clamp(LOOK_IDLE, LOOK_RARELY)
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
        let is_unsettled = self.unsettled(group).is_some();
        let (registered, out): (Vec<Target>, Vec<Target>) =
            self.own(group).into_iter().partition(|target| self.may_be_in(group, observed, target));
        let draining: BTreeSet<u16> = out.iter().map(|target| target.port).collect();
        let spared = self.spares(observed, wanted);
        let alone = observed.peers == 0 && !registered.is_empty();
        let seen = self.groups.seen.entry(group.clone()).or_default();
        seen.spared = spared;
        seen.alone |= alone;
        if spared {
            self.look(now, group, LOOK_AGAIN, actions);
        } else if !registered.is_empty() {
            self.deregister(now, group, registered, actions);
        } else {
            let watched = is_unsettled || !draining.is_empty();
            let every = if watched { LOOK_WHILE_DRAINING } else { LOOK_IDLE };
            self.look(now, group, every.min(self.look_while_leaving()), actions);
        }
        draining
    }

    /// Whether this registration is seen, or may be there: whatever is seen, an earlier register call may have put it back.
    pub(crate) fn may_be_in(&self, group: &TargetGroupArn, observed: &Observation, target: &Target) -> bool {
        let perhaps = self.unsettled(group).filter(|taken| taken.latest != Change::Deregistered);
        observed.own.get(target).is_some_and(TargetState::is_registered)
            || perhaps.is_some_and(|taken| taken.since(target).is_some())
    }

    /// A leaving instance that is put back is lost with its requests: nobody waits for it to drain again.
    fn look_while_leaving(&self) -> Duration {
        let puts_back = || self.memory.leases.values().any(|lease| lease.owner == Owner::CodeDeploy);
        match &self.memory.leaving {
            Some(_) if puts_back() => LOOK_BEFORE_PUT_BACK,
            Some(_) => LOOK_WHILE_DRAINING,
            None => LOOK_IDLE,
        }
    }

    /// Whether this instance holds the last healthy target of a group, and only a deployment wants it out.
    pub(crate) fn spares(&self, observed: &Observation, wanted: &Traffic) -> bool {
        self.settings.keep_last_healthy
            && wanted.is_out_for_deployments_only()
            && observed.peers > 0
            && observed.healthy_peers == 0
            && observed.own.values().any(|state| *state == TargetState::Healthy)
    }

    fn deregister(&mut self, now: Instant, group: &TargetGroupArn, targets: Vec<Target>, actions: &mut Vec<Action>) {
        if self.enter_standby(now, actions) {
            self.look(now, group, LOOK_SOON, actions);
            return;
        }
        let ask = Ask::Change(group.clone());
        // What has failed is waited for as failures are. What was answered and is not seen may only be seen late, but
        // where somebody has put a leaving instance back there is no time to wonder.
        let seen_late = self.asks.failures(&ask) == 0 && self.memory.leaving.is_none();
        let again = if seen_late { CHANGE_AGAIN } else { LOOK_BEFORE_PUT_BACK };
        if !self.asks.due(&ask, now, again) {
            self.look(now, group, LOOK_SOON, actions);
            return;
        }
        self.keep_before_change(group);
        let delay = self.groups.delay(group);
        self.memory.remember_targets(group, delay, &targets, now);
        self.groups.outdate(group, now);
        actions.push(Action::Deregister { group: group.clone(), targets });
    }

    /// Gives back what was taken from a group, once the application is well.
    fn bring_back(&mut self, now: Instant, group: &TargetGroupArn, actions: &mut Vec<Action>) {
        let Some(taken) = self.memory.taken_out.get(group) else {
            self.look(now, group, self.at_rest(), actions);
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
        let targets = taken.targets.iter().map(|(target, _)| target);
        let missing: Vec<Target> = targets.filter(|target| !registered(target)).cloned().collect();
        if !missing.is_empty() {
            self.register(now, group, missing, actions);
        } else if !taken.targets.iter().all(|(target, _)| observed.own.get(target).is_some_and(is_back)) {
            let waited = now.since(self.wanted_since);
            self.look(now, group, (waited / 10).clamp(LOOK_SOON, LOOK_AGAIN), actions);
        } else if self.unsettled(group).is_some() {
            // An earlier deregister call may yet be seen.
            self.look(now, group, LOOK_WHILE_DRAINING, actions);
        } else {
            self.forget_taken(group);
            self.look(now, group, LOOK_IDLE, actions);
        }
    }

    fn register(&mut self, now: Instant, group: &TargetGroupArn, targets: Vec<Target>, actions: &mut Vec<Action>) {
        if self.standby_gives_back(now) || !self.asks.due(&Ask::Change(group.clone()), now, CHANGE_AGAIN) {
            self.look(now, group, LOOK_SOON, actions);
            return;
        }
        self.keep_before_change(group);
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
        if !out.is_empty() && self.must_count(now) && self.asks.due(&Ask::Connections, now, COUNT_CONNECTIONS) {
            actions.push(Action::CountConnections { ports: out.into_iter().collect() });
        }
    }

    fn must_count(&self, now: Instant) -> bool {
        self.groups.seen.keys().any(|group| {
            self.own(group).iter().any(|target| match self.standing(now, group, target) {
                Standing::Draining { counts_from, .. } => now >= counts_from,
                Standing::Unseen | Standing::Registered(_) | Standing::Drained(_) => false,
            })
        })
    }

    pub(crate) fn look(&mut self, now: Instant, group: &TargetGroupArn, every: Duration, actions: &mut Vec<Action>) {
        if self.asks.due(&Ask::Observe(group.clone()), now, every) {
            actions.push(Action::ObserveGroup { group: group.clone() });
        }
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
        self.note_places(group);
        let Some(taken) = self.memory.taken_out.get_mut(group) else {
            return;
        };
        if !self.wanted.is_in() {
            let ours = put_back.iter().filter(|target| taken.since(target).is_some()).count();
            taken.put_back = taken.put_back.saturating_add(u32::try_from(ours).unwrap_or(u32::MAX));
        }
        self.groups.note_out(group, taken.targets.iter().map(|(target, _)| target));
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
        let before = self.before_change.remove(group);
        let taken = self.memory.taken_out.get_mut(group);
        match answer.map_err(|failure| failure.kind) {
            Ok(()) => taken.into_iter().for_each(|taken| taken.took_effect(change, sent, now)),
            Err(FailureKind::Unavailable) => taken.into_iter().for_each(|taken| taken.unsettle(taken.latest, now)),
            Err(FailureKind::NotFound) => self.forget_if_gone(&ask, group),
            Err(FailureKind::Throttled | FailureKind::Denied | FailureKind::Invalid) => self.unmake(group, before),
        }
    }

    fn keep_before_change(&mut self, group: &TargetGroupArn) {
        self.before_change.insert(group.clone(), self.memory.taken_out.get(group).cloned());
    }

    /// A refused change was none: what it would have taken out was not, and is not ours to put back.
    fn unmake(&mut self, group: &TargetGroupArn, before: Option<Option<TakenOut>>) {
        match before {
            Some(Some(before)) => {
                self.memory.taken_out.insert(group.clone(), before);
            }
            Some(None) => {
                self.memory.taken_out.remove(group);
            }
            // Sent by nobody in this run.
            None => {}
        }
    }

    /// A group that was deleted cannot be given anything back.
    fn forget_if_gone(&mut self, ask: &Ask, group: &TargetGroupArn) {
        if self.asks.failures(ask) < GONE_AFTER {
            return;
        }
        self.memory.taken_out.remove(group);
        self.memory.leases.values_mut().for_each(|lease| drop(lease.places.remove(group)));
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
        self.asks.afresh(&Ask::Elastigroup(Topic::Standby));
    }

    /// What holds this instance, what it was taken from, and what CodeDeploy has taken it from and will put it back into.
    pub(crate) fn known_groups(&self) -> BTreeSet<TargetGroupArn> {
        let blocked = self.memory.leases.values().flat_map(|lease| lease.places.keys());
        self.groups.facts.keys().chain(self.memory.taken_out.keys()).chain(blocked).cloned().collect()
    }
}
