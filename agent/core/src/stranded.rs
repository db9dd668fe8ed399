//! What CodeDeploy itself takes out of traffic for a deployment, and who gives it back where that deployment dies.
//!
//! CodeDeploy blocks traffic before it installs, and allows it again at the end. Where the deployment dies in between,
//! nobody does: the instance would stay out for ever. So what was registered before is remembered with the lease, and
//! once the deployment is over, giving it back is this agent's business as if it had taken it out itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::asks::Ask;
use crate::core::Core;
use crate::ids::TargetGroupArn;
use crate::memory::{Change, Ending, Lease};
use crate::time::{Instant, Now};
use crate::wire::{GroupFacts, Owner, Target};

/// Registrations of this instance, by target group.
pub type Places = BTreeMap<TargetGroupArn, BTreeSet<Target>>;

/// The longest deregistration delay. Before a deployment's first hook its block may have lasted that long, where the
/// revision before it had no hook for it.
const LONGEST_BLOCK: Duration = Duration::from_secs(3600);

impl Core {
    /// Where this instance was registered before a deployment of CodeDeploy's own began to block it.
    pub(crate) fn places_before_block(&self, now: Instant) -> Places {
        let seen = self.groups.seen.iter().filter_map(|(group, seen)| Some((group, seen.registered.as_ref()?)));
        let lately = seen.filter(|(_, (at, _))| now.since(*at) < LONGEST_BLOCK);
        lately.map(|(group, (_, targets))| (group.clone(), targets.clone())).collect()
    }

    pub(crate) fn knows_places(&self, now: Instant) -> bool {
        !self.places_before_block(now).is_empty()
    }

    /// CodeDeploy has moved traffic: what was seen before says nothing any more.
    pub(crate) fn believe_nothing_old(&mut self, now: Instant) {
        for group in self.known_groups() {
            self.groups.outdate(&group, now);
        }
    }

    /// Whether a register call was sent that may yet take effect. CodeDeploy's block must come after it: nobody would take
    /// the instance out again while its application is replaced.
    pub(crate) fn is_registering(&mut self, now: Instant) -> bool {
        let sent = self.memory.taken_out.values().filter(|taken| taken.latest == Change::Registering);
        let until = sent.map(|taken| taken.settles_at).max().filter(|until| now < *until);
        until.inspect(|until| self.asks.wake_no_later_than(*until)).is_some()
    }

    /// Notes with every deployment for which CodeDeploy moves traffic where this instance is seen to be registered.
    pub(crate) fn note_places(&mut self, group: &TargetGroupArn) {
        let Some(observed) = self.groups.latest(group) else { return };
        let registered: BTreeSet<Target> = observed.registered().cloned().collect();
        if registered.is_empty() {
            return;
        }
        for lease in self.memory.leases.values_mut().filter(|lease| lease.owner == Owner::CodeDeploy) {
            lease.places.entry(group.clone()).or_default().extend(registered.iter().cloned());
        }
    }

    /// While traffic is to stay out, where CodeDeploy has put this instance back is looked at, whether or not looking for what
    /// holds it works just now.
    pub(crate) fn keep_places_in_view(&mut self, places: &Places) {
        if self.wanted.is_in() {
            return;
        }
        for arn in places.keys() {
            let facts = GroupFacts { arn: arn.clone(), deregistration_delay: self.groups.delay(arn) };
            self.groups.facts.entry(arn.clone()).or_insert(facts);
        }
    }

    /// Takes over what CodeDeploy blocked for a deployment that ended so, where nobody else will give it back.
    pub(crate) fn take_over_blocked(&mut self, now: Now, lease: &Lease, how: Ending) {
        let died = match how {
            Ending::HookFailed | Ending::Dead | Ending::AssumedDead => true,
            // CodeDeploy has allowed traffic, or a later deployment will.
            Ending::Succeeded | Ending::SucceededUnheard | Ending::Superseded => false,
            Ending::Left => false,
        };
        if !died || !self.settings.return_blocked {
            return;
        }
        for (group, targets) in &lease.places {
            let delay = self.groups.delay(group);
            self.memory.remember_blocked(group, delay, targets, now.at);
            // What was seen before says nothing of what CodeDeploy did meanwhile.
            self.groups.outdate(group, now.at);
            self.asks.afresh(&Ask::Observe(group.clone()));
        }
    }
}
