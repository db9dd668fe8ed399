//! What must survive a crash: written to the ledger before the actions that depend on it are carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::elastigroup::Kept;
use crate::ids::{DeploymentGroup, DeploymentId, TargetGroupArn};
use crate::leaving::Leaving;
use crate::lifecycle::LifecycleEvent;
use crate::revision::Revision;
use crate::stranded::Places;
use crate::suspect::Suspect;
use crate::time::{Instant, Now, WallTime, millis};
use crate::wire::{Owner, Target};

/// How many ended deployments are remembered, so that a late hook of theirs is known for what it is.
const ENDED_KEPT: usize = 32;

/// Everything that the core must know again after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// The open deployments.
    pub leases: BTreeMap<DeploymentId, Lease>,
    /// Deployments that ended here, newest last.
    pub ended: Vec<Ended>,
    /// The latest deployment that ended badly, while the application is not known to be well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspect: Option<Suspect>,
    /// An operator's `pitcrew out`.
    pub hold: Option<Hold>,
    /// Where traffic was taken from, and is to be given back; independent of any deployment.
    pub taken_out: BTreeMap<TargetGroupArn, TakenOut>,
    /// What was taken from Elastigroup, and what it was told.
    pub elastigroup: Kept,
    /// Set once the instance is leaving; nothing here unsets it but a withdrawn notice.
    pub leaving: Option<Leaving>,
}

/// An open deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Whose deployment it is.
    pub group: DeploymentGroup,
    /// Who moves traffic for it.
    pub owner: Owner,
    /// Keeps the instance out of traffic. Never so where CodeDeploy moves traffic itself.
    pub holds_traffic: bool,
    /// When its first hook called.
    pub opened: Now,
    /// When its latest hook called or was answered.
    pub heard: Instant,
    /// Its latest lifecycle event.
    pub last_event: LifecycleEvent,
    /// What it brings.
    #[serde(default, skip_serializing_if = "Revision::is_unknown")]
    pub revision: Revision,
    /// Where the instance was registered before CodeDeploy itself blocked its traffic; nothing where it does not.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub places: Places,
}

/// A deployment that is over on this instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Which.
    pub deployment: DeploymentId,
    /// Whose it was.
    pub group: DeploymentGroup,
    /// How it ended.
    pub how: Ending,
    /// Its latest lifecycle event.
    pub last_event: LifecycleEvent,
    /// When its first hook called.
    pub opened: WallTime,
    /// When it ended.
    pub at: WallTime,
    /// What it brought.
    #[serde(default, skip_serializing_if = "Revision::is_unknown")]
    pub revision: Revision,
}

/// How a deployment ended on this instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Its last hook was answered with success.
    Succeeded,
    /// One of its hooks was answered with anything else, or its caller went away.
    HookFailed,
    /// CodeDeploy says that it is over and well, though its last hook never called.
    SucceededUnheard,
    /// CodeDeploy says that it failed, was stopped, or never was.
    Dead,
    /// Silent for too long, and CodeDeploy could not be asked.
    AssumedDead,
    /// A newer deployment of its group called: CodeDeploy runs one of a group at a time.
    Superseded,
    /// The instance left while it was open.
    Left,
}

impl Ending {
    /// The word used in logs, metrics and for people.
    pub fn word(self) -> &'static str {
        match self {
            Ending::Succeeded => "succeeded",
            Ending::HookFailed => "hook-failed",
            Ending::SucceededUnheard => "succeeded-unheard",
            Ending::Dead => "dead",
            Ending::AssumedDead => "assumed-dead",
            Ending::Superseded => "superseded",
            Ending::Left => "left",
        }
    }
}

/// An operator holds the instance out of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Since when.
    pub since: Now,
    /// Ends by itself at this instant.
    pub until: Option<Instant>,
}

/// Registrations of one target group that were taken out, exactly as they were observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenOut {
    /// The group's deregistration delay when it was taken out.
    pub deregistration_delay: Duration,
    /// The registrations, in order, and when each was taken out.
    pub targets: Vec<(Target, Instant)>,
    /// How often somebody else put one back meanwhile.
    pub put_back: u32,
    /// The latest change that was sent.
    pub latest: Change,
    /// Until then the latest change, or one before it, may yet take effect or be seen: what is seen proves nothing.
    pub settles_at: Instant,
}

/// A change of registrations, and whether the balancer is known to have taken it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A deregister call was sent.
    Deregistering,
    /// The balancer took it.
    Deregistered,
    /// A register call was sent.
    Registering,
    /// The balancer took it.
    Registered,
}

/// A change whose answer was lost may still take effect for so long, and every change may be seen so late.
pub(crate) const SETTLES_WITHIN: Duration = Duration::from_secs(30);

/// So much a deployment may have been heard of later than the ledger says: far less than anything waits for.
const HEARD_MAY_LAG: Duration = Duration::from_secs(20);

impl TakenOut {
    /// When `target` was taken out, if it was.
    pub fn since(&self, target: &Target) -> Option<Instant> {
        self.targets.iter().find(|(taken, _)| taken == target).map(|(_, at)| *at)
    }

    /// A change was sent or answered, or its answer was lost.
    pub(crate) fn unsettle(&mut self, latest: Change, now: Instant) {
        self.latest = latest;
        self.settles_at = now.after(SETTLES_WITHIN);
    }

    /// The change that was `sent` was made, at the latest `now`: the deregistration delay counts from then.
    pub(crate) fn took_effect(&mut self, change: Change, sent: Instant, now: Instant) {
        self.targets.iter_mut().filter(|(_, at)| *at >= sent).for_each(|(_, at)| *at = now);
        self.unsettle(change, now);
    }

    fn remember(&mut self, target: &Target, at: Instant) {
        match self.targets.iter_mut().find(|(taken, _)| taken == target) {
            Some((_, since)) => *since = at,
            None => {
                self.targets.push((target.clone(), at));
                self.targets.sort();
            }
        }
    }
}

impl Memory {
    /// Remembers registrations before they are taken out.
    pub(crate) fn remember_targets(
        &mut self,
        group: &TargetGroupArn,
        delay: Duration,
        targets: &[Target],
        at: Instant,
    ) {
        let taken = self.taken_out.entry(group.clone()).or_insert_with(|| TakenOut {
            deregistration_delay: delay,
            targets: Vec::new(),
            put_back: 0,
            latest: Change::Deregistering,
            settles_at: at,
        });
        taken.deregistration_delay = delay;
        taken.unsettle(Change::Deregistering, at);
        for target in targets {
            taken.remember(target, at);
        }
    }

    /// Remembers registrations that CodeDeploy has taken out, and that nobody else will put back: as if they had been
    /// taken out here.
    pub(crate) fn remember_blocked(
        &mut self,
        group: &TargetGroupArn,
        delay: Duration,
        targets: &BTreeSet<Target>,
        at: Instant,
    ) {
        let targets: Vec<Target> = targets.iter().cloned().collect();
        self.remember_targets(group, delay, &targets, at);
        if let Some(taken) = self.taken_out.get_mut(group) {
            taken.unsettle(Change::Deregistered, at);
        }
    }

    /// Whether a crash would lose nothing that matters, with only `written` on disk: when a deployment was last heard of
    /// may be a little old there.
    pub fn is_kept_by(&self, written: &Memory) -> bool {
        let Memory { leases, ended, suspect, hold, taken_out, elastigroup, leaving } = self;
        let is_kept = |(id, lease): (&DeploymentId, &Lease)| {
            written.leases.get(id).is_some_and(|kept| {
                lease.heard.since(kept.heard) < HEARD_MAY_LAG && *lease == Lease { heard: lease.heard, ..kept.clone() }
            })
        };
        leases.len() == written.leases.len()
            && leases.iter().all(is_kept)
            && (ended, suspect, hold, taken_out, elastigroup, leaving)
                == (
                    &written.ended,
                    &written.suspect,
                    &written.hold,
                    &written.taken_out,
                    &written.elastigroup,
                    &written.leaving,
                )
    }

    /// Whether something was taken out, and the balancer has not yet been made to take it back.
    pub(crate) fn is_out(&self) -> bool {
        self.taken_out.values().any(|taken| taken.latest != Change::Registered)
    }

    /// How a deployment ended here, if it did.
    pub fn ending(&self, deployment: &DeploymentId) -> Option<&Ended> {
        self.ended.iter().rev().find(|ended| &ended.deployment == deployment)
    }

    /// Closes a lease; nothing where it was not open.
    pub(crate) fn close(&mut self, deployment: &DeploymentId, how: Ending, now: Now) -> Option<Lease> {
        let lease = self.leases.remove(deployment)?;
        self.ended.push(Ended {
            deployment: deployment.clone(),
            group: lease.group.clone(),
            how,
            last_event: lease.last_event,
            opened: lease.opened.wall,
            at: now.wall,
            revision: lease.revision.clone(),
        });
        if self.ended.len() > ENDED_KEPT {
            self.ended.remove(0);
        }
        Some(lease)
    }

    /// Takes this memory over into another boot: every instant moves from the boot in which it was `written` onto
    /// the present boot's clock, by the wall clock; what lies before this boot becomes its first instant. Leaving
    /// ended with the boot: an instance that runs again has not left, and whoever still wants it gone says so again.
    pub fn rebase(&mut self, written: Now, now: Now) {
        let away = i128::from(now.wall.0.saturating_sub(written.wall.0));
        let shift = |instant: &mut Instant| {
            let moved = i128::from(instant.0) - i128::from(written.at.0) - away + i128::from(now.at.0);
            *instant = Instant(u64::try_from(moved.max(0)).unwrap_or(u64::MAX));
        };
        for lease in self.leases.values_mut() {
            shift(&mut lease.opened.at);
            shift(&mut lease.heard);
        }
        if let Some(suspect) = &mut self.suspect {
            shift(&mut suspect.since.at);
        }
        if let Some(hold) = &mut self.hold {
            shift(&mut hold.since.at);
            hold.until.as_mut().map(shift);
        }
        for taken in self.taken_out.values_mut() {
            taken.targets.iter_mut().for_each(|(_, at)| shift(at));
            shift(&mut taken.settles_at);
        }
        self.elastigroup.shift(shift);
        self.leaving = None;
    }
}

/// Opens a hold.
pub(crate) fn hold(now: Now, ttl: Option<Duration>) -> Hold {
    Hold { since: now, until: ttl.map(|ttl| Instant(now.at.0.saturating_add(millis(ttl)))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elastigroup::Held;

    fn lease() -> Lease {
        Lease {
            group: DeploymentGroup { application: "web".into(), name: "prod".into() },
            owner: Owner::Pitcrew,
            holds_traffic: true,
            opened: Now { at: Instant(1_000), wall: WallTime(501_000) },
            heard: Instant(9_000),
            last_event: LifecycleEvent::BeforeInstall,
            revision: Revision::default(),
            places: Places::new(),
        }
    }

    #[test]
    fn the_delay_of_what_was_sent_counts_from_its_answer_and_of_what_was_out_before_from_then() {
        let [before, sent] = [8080, 8081].map(|port| Target { id: "i-1".into(), port, zone: None });
        let mut taken = TakenOut {
            deregistration_delay: Duration::from_secs(300),
            targets: vec![(before.clone(), Instant(1_000)), (sent.clone(), Instant(9_000))],
            put_back: 0,
            latest: Change::Deregistering,
            settles_at: Instant(9_000),
        };
        taken.took_effect(Change::Deregistered, Instant(9_000), Instant(12_000));
        assert_eq!([taken.since(&before), taken.since(&sent)], [Some(Instant(1_000)), Some(Instant(12_000))]);
        assert_eq!((taken.latest, taken.settles_at), (Change::Deregistered, Instant(42_000)));
    }

    #[test]
    fn a_reboot_keeps_ages_and_what_was_left() {
        let mut memory = Memory::default();
        memory.leases.insert("d-1".into(), lease());
        memory.hold = Some(Hold { since: Now::default(), until: Some(Instant(100_000)) });
        memory.elastigroup.lock = Some(Held { until: Instant(100_000), sure: true });
        let written = Now { at: Instant(10_000), wall: WallTime(510_000) };
        let now = Now { at: Instant(60_000), wall: WallTime(540_000) };
        memory.rebase(written, now);
        assert_eq!(memory.leases[&"d-1".into()].heard, Instant(29_000), "heard 31 s ago");
        assert_eq!(memory.leases[&"d-1".into()].opened.wall, WallTime(501_000), "wall times are facts");
        assert_eq!(memory.hold.and_then(|h| h.until), Some(Instant(120_000)), "60 s were left after 30 s away");
        assert_eq!(memory.elastigroup.lock.map(|lock| lock.until), Some(Instant(120_000)), "the same of the lock");
    }

    #[test]
    fn memory_survives_its_own_serialisation() {
        let mut memory = Memory::default();
        memory.leases.insert("d-1".into(), lease());
        memory.close(&"d-1".into(), Ending::Dead, Now::default());
        let target = Target { id: "i-1".into(), port: 80, zone: None };
        memory.remember_targets(&"arn".into(), Duration::from_secs(300), &[target], Instant(7));
        let text = serde_json::to_string(&memory).unwrap();
        assert_eq!(serde_json::from_str::<Memory>(&text).unwrap(), memory);
    }

    #[test]
    fn only_a_moment_in_which_a_deployment_was_heard_of_may_be_missing_on_disk() {
        let mut written = Memory::default();
        written.leases.insert("d-1".into(), lease());
        let with = |change: fn(&mut Lease)| {
            let mut memory = written.clone();
            memory.leases.values_mut().for_each(change);
            memory
        };
        assert!(written.is_kept_by(&written));
        assert!(with(|lease| lease.heard = Instant(28_999)).is_kept_by(&written));
        assert!(!with(|lease| lease.heard = Instant(29_000)).is_kept_by(&written));
        assert!(!with(|lease| lease.last_event = LifecycleEvent::AfterInstall).is_kept_by(&written));
        assert!(!written.is_kept_by(&Memory::default()) && !Memory::default().is_kept_by(&written));
        let held = Memory { hold: Some(Hold { since: Now::default(), until: None }), ..written.clone() };
        assert!(!held.is_kept_by(&written));
    }

    #[test]
    fn only_the_latest_endings_are_kept() {
        let mut memory = Memory::default();
        for n in 0..40 {
            let id = DeploymentId::new(format!("d-{n}"));
            memory.leases.insert(id.clone(), lease());
            memory.close(&id, Ending::Succeeded, Now::default());
        }
        assert_eq!(memory.ended.len(), ENDED_KEPT);
        assert!(memory.ending(&"d-39".into()).is_some() && memory.ending(&"d-7".into()).is_none());
    }
}
