//! What the group does with its instances by itself: whom it chooses to take away, and when it lets one go.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::{Elastigroup, Life, Lock, Member, RouteLoad};
use crate::interruption::Action;
use crate::lock::lock;
use crate::seat::Seat;
use crate::timeline::Happening;
use crate::world::calls::Effect;
use crate::world::targets::TargetId;
use crate::world::{State, World};

/// What a group wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// Fewer instances: stopped by a lock and by standby.
    ScaleIn,
    /// Another instance instead of one that may be interrupted: stopped by suspending PREVENTIVE_REPLACEMENT and by
    /// standby, perhaps by a lock.
    Replace,
    /// Another instance instead of one that its health check finds unhealthy: stopped by suspending AUTO_HEALING and by
    /// standby.
    Unhealthy,
    /// New instances instead of all: stopped by nothing.
    Roll,
}

/// Whom a group chose, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// When.
    pub at: Instant,
    /// Whom.
    pub instance: u8,
    /// What for.
    pub wish: Wish,
}

/// A signal that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalRecord {
    /// When.
    pub at: Instant,
    /// Of whom.
    pub instance: u8,
    /// Which.
    pub signal: String,
    /// Whether its time was over.
    pub late: bool,
}

/// What the group knows at the end.
#[derive(Debug, Clone)]
pub struct GroupReport {
    /// Signals in order, by the world's time.
    pub signals: Vec<(Duration, SignalRecord)>,
    /// Choices in order, by the world's time.
    pub choices: Vec<(Duration, Choice)>,
    /// Whom the group wanted and could not have.
    pub passed_over: Vec<(u8, Wish)>,
    /// Who was locked or in standby at any time.
    pub protected: Vec<u8>,
    /// What is still held, and would never end by itself; sentences.
    pub stranded: Vec<String>,
    /// What is still held, and ends by itself; sentences.
    pub lasting: Vec<String>,
    /// The routes.
    pub routes: Vec<RouteLoad>,
}

impl Wish {
    const ALL: [Self; 4] = [Self::ScaleIn, Self::Replace, Self::Unhealthy, Self::Roll];

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::ScaleIn => "scale-in",
            Self::Replace => "replace",
            Self::Unhealthy => "unhealthy",
            Self::Roll => "roll",
        }
    }
}

impl std::str::FromStr for Wish {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|wish| wish.name() == word).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|wish| wish.name()).collect();
            format!("no Elastigroup does `{word}`; it does {}", names.join(", "))
        })
    }
}

impl Elastigroup {
    /// Whom the group takes now, of `candidates` in their order; notes whom it cannot have.
    fn choose(&mut self, wish: Wish, candidates: &[u8], now: Instant) -> Option<u8> {
        for number in candidates {
            let Some(member) = self.members.values().find(|member| member.number == *number) else { continue };
            if let Life::Detached { .. } = member.life {
                continue;
            }
            let locked = member.lock.is_some_and(|lock| lock.holds(now));
            let spared = match wish {
                Wish::ScaleIn => locked || member.standby,
                Wish::Replace => {
                    member.standby
                        || self.is_suspended("PREVENTIVE_REPLACEMENT", now)
                        || (locked && self.plan.unknown.lock_stops_replacement)
                }
                Wish::Unhealthy => member.standby || self.is_suspended("AUTO_HEALING", now),
                Wish::Roll => false,
            };
            if !spared {
                self.choices.push(Choice { at: now, instance: *number, wish });
                return Some(*number);
            }
            self.passed_over.insert((*number, wish));
        }
        None
    }

    /// How long a detached instance is held.
    fn hold(&self) -> Duration {
        self.plan.shutdown.unwrap_or(self.plan.draining_timeout)
    }
}

impl World {
    /// Whom the group takes away now, if anybody of `candidates`.
    pub(crate) fn group_chooses(&self, wish: Wish, candidates: &[u8]) -> Option<u8> {
        let now = self.clock.now();
        lock(&self.state).elastigroup.as_mut()?.choose(wish, candidates, now)
    }

    /// The group detaches an instance: out of its target groups first, then it is held.
    pub(crate) fn group_detaches(&self, seat: &Seat) {
        let now = self.clock.now();
        let hold = lock(&self.state).elastigroup.as_ref().map(Elastigroup::hold).unwrap_or_default();
        self.give_notice(seat, Action::Elastigroup, hold);
        let mut state = lock(&self.state);
        let effects = state.take_out_of_groups(now, &seat.instance_id);
        if let Some(member) = state.elastigroup.as_mut().and_then(|group| group.members.get_mut(&seat.instance_id)) {
            member.life = Life::Detached { until: now + hold, may_go: false };
        }
        let tags = state.elastigroup.as_ref().is_some_and(|group| group.plan.unknown.tags_detached);
        drop(state);
        if tags {
            self.set_tag(seat, "spotinst:aws:ec2:state", Some("detached"));
        }
        for effect in effects {
            self.tell_of_effect(effect, "Elastigroup".to_owned());
        }
    }

    /// Whether the group does not hold a detached instance any more.
    pub(crate) fn group_lets_go(&self, seat: &Seat) -> bool {
        let now = self.clock.now();
        let state = lock(&self.state);
        let member = state.elastigroup.as_ref().and_then(|group| group.members.get(&seat.instance_id));
        member.is_none_or(|member| match member.life {
            Life::Detached { until, may_go } => may_go || now >= until,
            Life::HeldBack | Life::Active => false,
        })
    }

    /// Whether the group has detached the instance.
    pub fn is_detached(&self, seat: &Seat) -> bool {
        let state = lock(&self.state);
        let member = state.elastigroup.as_ref().and_then(|group| group.members.get(&seat.instance_id));
        member.is_some_and(|member| matches!(member.life, Life::Detached { .. }))
    }

    /// Whether the instance waits to be registered until it says that it is ready.
    pub(crate) fn is_held_back(&self, seat: &Seat) -> bool {
        let state = lock(&self.state);
        let member = state.elastigroup.as_ref().and_then(|group| group.members.get(&seat.instance_id));
        member.is_some_and(|member| member.life == Life::HeldBack)
    }

    /// Whether somebody has asked the group to detach the instance.
    pub(crate) fn is_to_be_detached(&self, seat: &Seat) -> bool {
        lock(&self.state).elastigroup.as_ref().is_some_and(|group| group.to_detach.contains(&seat.number))
    }

    /// What of this instance the group would put back: it serves, is not in standby, and is not where it was at first.
    pub(crate) fn group_misses(&self, seat: &Seat) -> Vec<(String, TargetId)> {
        let own = self.registered_from_the_start(seat);
        let now = self.target_health(seat);
        let state = lock(&self.state);
        let member = state.elastigroup.as_ref().and_then(|group| group.members.get(&seat.instance_id));
        match member {
            Some(Member { life: Life::Active, standby: false, .. }) => own
                .into_iter()
                .filter(|(group, target)| {
                    !now.iter()
                        .any(|(name, other, health)| (name, other) == (group, target) && health.state != "draining")
                })
                .collect(),
            Some(_) | None => Vec::new(),
        }
    }

    /// The group registers an instance in these places.
    pub(crate) fn group_puts_back(&self, places: &[(String, TargetId)]) {
        let now = self.clock.now();
        let effects = lock(&self.state).put_into_groups(now, places);
        for effect in effects {
            self.tell_of_effect(effect, "Elastigroup".to_owned());
        }
    }

    /// Whether the instance waited for longer than the group does: it is replaced.
    pub(crate) fn is_overdue(&self, seat: &Seat) -> bool {
        let now = self.clock.now();
        let held_back = self.is_held_back(seat);
        let state = lock(&self.state);
        let Some(group) = &state.elastigroup else { return false };
        held_back && group.plan.ready.is_some_and(|timeout| now >= group.born + timeout)
    }

    /// Everything that the group gave is over so long from now, at the latest.
    pub(crate) fn group_report(&self) -> Option<GroupReport> {
        let now = self.clock.now();
        let state = lock(&self.state);
        let group = state.elastigroup.as_ref()?;
        let (mut stranded, mut lasting) = (Vec::new(), Vec::new());
        // What belongs to an instance that goes, goes with it.
        let goes = |number| state.notices.iter().any(|notice| notice.instance == number && notice.ends_service());
        for member in group.members.values().filter(|member| !goes(member.number)) {
            let number = member.number;
            match member.lock {
                Some(Lock::WithoutEnd) => stranded.push(format!("instance {number} is locked without an end")),
                Some(Lock::Until(until)) if now < until => lasting.push(format!("instance {number} is locked")),
                Some(Lock::Until(_)) | None => {}
            }
            if member.standby {
                stranded.push(format!("instance {number} is in standby"));
            }
        }
        for (process, ends) in &group.suspensions {
            match ends {
                None => stranded.push(format!("{process} is suspended without an end")),
                Some(ends) if now < *ends => lasting.push(format!("{process} is suspended")),
                Some(_) => {}
            }
        }
        let since = |at: Instant| self.clock.since_start(at);
        Some(GroupReport {
            signals: group.signals.iter().map(|signal| (since(signal.at), signal.clone())).collect(),
            choices: group.choices.iter().map(|choice| (since(choice.at), *choice)).collect(),
            passed_over: group.passed_over.iter().copied().collect(),
            protected: group.protected.iter().copied().collect(),
            stranded,
            lasting,
            routes: group.rate.table(),
        })
    }

    /// Replaces the token, here and in the parameter that agents read.
    pub(crate) fn rotate_token(&self) {
        let mut state = lock(&self.state);
        let token = format!("{:032x}{:032x}", state.rng.u128(..), state.rng.u128(..));
        if let Some(group) = &mut state.elastigroup {
            group.token = token;
        }
        drop(state);
        self.happened(None, Happening::Noted { note: "the Elastigroup token is replaced".to_owned() });
    }
}

impl State {
    /// Takes an instance out of every target group, as Elastigroup does.
    pub(super) fn take_out_of_groups(&mut self, now: Instant, id: &str) -> Vec<Effect> {
        let State { balancing, rng, .. } = self;
        let mut effects = Vec::new();
        for group in &mut balancing.groups {
            let all = group.all_health(now).into_iter();
            let own: Vec<TargetId> =
                all.filter(|(target, health)| target.id == id && health.state != "draining").map(|(t, _)| t).collect();
            for target in own {
                let lag = Duration::from_millis(rng.u64(100..3000));
                effects.push(Effect::Deregistered {
                    group: group.settings.name.clone(),
                    registered_beside: group.registered_beside(now, &target.id),
                    healthy_beside: group.healthy_beside(now, &target.id),
                    changed: group.deregister(now, &target, lag),
                    target,
                });
            }
        }
        effects
    }

    /// Puts an instance into these places.
    pub(super) fn put_into_groups(&mut self, now: Instant, places: &[(String, TargetId)]) -> Vec<Effect> {
        let State { balancing, rng, .. } = self;
        let mut effects = Vec::new();
        for (name, target) in places {
            let Some(address) = balancing.instances.get(&target.id).copied() else { continue };
            let from_the_start = balancing.from_the_start.contains(&(name.clone(), target.clone()));
            let Some(group) = balancing.groups.iter_mut().find(|group| group.settings.name == *name) else { continue };
            let lag = Duration::from_millis(rng.u64(1000..3000));
            let changed = group.register(now, target.clone(), address, lag);
            effects.push(Effect::Registered { group: name.clone(), target: target.clone(), changed, from_the_start });
        }
        effects
    }

    /// An answer left for the instance that says that it was detached: it is read now, if it was not before.
    pub(super) fn told_of_detach<T, E>(
        &mut self,
        number: Option<u8>,
        outcome: &Result<T, E>,
        at: Duration,
    ) -> Option<Action> {
        let number = number.filter(|_| outcome.is_ok())?;
        let group = self.elastigroup.as_ref()?;
        let member = group.members.values().find(|member| member.number == number)?;
        let Life::Detached { .. } = member.life else { return None };
        let unread = |record: &&mut crate::world::NoticeRecord| {
            record.instance == number && record.read.is_none() && record.action == Action::Elastigroup
        };
        let record = self.notices.iter_mut().find(unread)?;
        record.read = Some(at);
        Some(record.action)
    }
}
