//! Target groups as they were last seen. Forgotten by a restart, and learned again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::ids::TargetGroupArn;
use crate::time::Instant;
use crate::wire::{GroupFacts, Observation, Target, TargetState};

/// AWS's default, where the group could not be asked for its own.
const DEFAULT_DEREGISTRATION_DELAY: Duration = Duration::from_secs(300);

/// What is known of the target groups.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    pub(crate) facts: BTreeMap<TargetGroupArn, GroupFacts>,
    /// When the question was sent whose answer is `facts`.
    pub(crate) discovered: Option<Instant>,
    pub(crate) seen: BTreeMap<TargetGroupArn, Seen>,
    pub(crate) ports: BTreeMap<u16, Port>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// When the question was sent, and its answer.
    pub(crate) observed: Option<(Instant, Observation)>,
    /// The registrations that this instance had when it was last seen to have any, and when that was.
    pub(crate) registered: Option<(Instant, BTreeSet<Target>)>,
    /// Only what was asked after this instant counts: something was changed, or is wanted anew.
    pub(crate) stale_before: Instant,
    pub(crate) draining_since: BTreeMap<Target, Instant>,
    /// Taken out, and seen to be out, since.
    pub(crate) out: BTreeSet<Target>,
    /// The group's last healthy target is spared.
    pub(crate) spared: bool,
    /// Taken out although the group had no other target.
    pub(crate) alone: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Port {
    pub(crate) connections: Option<usize>,
    pub(crate) idle_since: Option<Instant>,
}

impl Groups {
    pub(crate) fn fresh(&self, group: &TargetGroupArn, since: Instant) -> Option<&Observation> {
        self.fresh_and_asked(group, since).map(|(_, observation)| observation)
    }

    pub(crate) fn fresh_and_asked(&self, group: &TargetGroupArn, since: Instant) -> Option<(Instant, &Observation)> {
        let seen = self.seen.get(group)?;
        let (asked, observation) = seen.observed.as_ref()?;
        (*asked >= seen.stale_before.max(since)).then_some((*asked, observation))
    }

    pub(crate) fn latest(&self, group: &TargetGroupArn) -> Option<&Observation> {
        self.seen.get(group)?.observed.as_ref().map(|(_, observation)| observation)
    }

    /// Other targets of the largest group, as last seen.
    pub(crate) fn most_peers(&self) -> usize {
        let seen = self.seen.values().filter_map(|seen| seen.observed.as_ref());
        seen.map(|(_, observation)| observation.peers).max().unwrap_or(0)
    }

    /// Whether this instance drains somewhere and is registered nowhere, as last seen.
    pub(crate) fn is_draining_everywhere(&self) -> bool {
        let own =
            || self.seen.values().filter_map(|seen| seen.observed.as_ref()).flat_map(|(_, seen)| seen.own.values());
        own().any(|state| !state.is_registered()) && !own().any(TargetState::is_registered)
    }

    /// Whether any group has this instance registered, as last seen.
    pub(crate) fn is_registered(&self) -> bool {
        let seen = self.seen.values().filter_map(|seen| seen.observed.as_ref());
        seen.flat_map(|(_, seen)| seen.own.values()).any(TargetState::is_registered)
    }

    /// Groups that have no other target, so that requests find nobody while this instance is out.
    pub(crate) fn left_empty(&self) -> impl Iterator<Item = &TargetGroupArn> {
        self.seen.iter().filter(|(_, seen)| seen.alone).map(|(group, _)| group)
    }

    pub(crate) fn is_spared(&self, group: &TargetGroupArn) -> bool {
        self.seen.get(group).is_some_and(|seen| seen.spared)
    }

    pub(crate) fn delay(&self, group: &TargetGroupArn) -> Duration {
        self.facts.get(group).map_or(DEFAULT_DEREGISTRATION_DELAY, |facts| facts.deregistration_delay)
    }

    /// A change was sent or answered: what was seen before says nothing any more.
    pub(crate) fn outdate(&mut self, group: &TargetGroupArn, at: Instant) {
        self.seen.entry(group.clone()).or_default().stale_before = at;
    }

    /// Takes in which groups hold this instance. One that was found after `out_since`, when this instance was to be out,
    /// and holds it no more is kept in view: whoever took the instance out may put it back.
    pub(crate) fn discovered(&mut self, asked: Instant, groups: Vec<GroupFacts>, out_since: Option<Instant>) {
        let found_while_out = self.discovered.zip(out_since).is_some_and(|(found, since)| found >= since);
        if !found_while_out {
            self.facts.clear();
        }
        self.discovered = Some(asked);
        self.facts.extend(groups.into_iter().map(|facts| (facts.arn.clone(), facts)));
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
        if observation.registered().next().is_some() {
            seen.registered = Some((now, observation.registered().cloned().collect()));
        }
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
