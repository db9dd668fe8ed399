//! When leaving begins, by when it must be done, and when it is taken back.

use super::Leaving;
use crate::asks::Ask;
use crate::core::Core;
use crate::elastigroup::Topic;
use crate::memory::Memory;
use crate::notice::{Notice, NoticeKind};
use crate::settings::{OnAdvice, Settings};
use crate::time::{Instant, Now};
use crate::wire::{Action, Moment};

impl Core {
    /// A notice opens the last phase, or names one more reason and an earlier end. Advice only stands, unless it is followed.
    pub(crate) fn notice_seen(&mut self, now: Now, notice: Notice, actions: &mut Vec<Action>) {
        if !ends_the_instance(&self.settings, notice.kind) {
            self.advice = (self.settings.on_rebalance != OnAdvice::Ignore).then_some(notice);
            return;
        }
        let deadline = deadline(&self.settings, now, &notice);
        let first = self.memory.leaving.is_none();
        let leaving = self.memory.leaving.get_or_insert_with(|| Leaving::until(deadline, now));
        if leaving.notices.contains(&notice) {
            return;
        }
        leaving.deadline = leaving.deadline.min(deadline);
        let kind = notice.kind;
        leaving.notices.push(notice);
        // What was asked with less haste is asked anew.
        self.look_afresh();
        if first {
            actions.push(Action::Announce { moment: Moment::Noticed, why: kind, sentence: format!("leaving: {kind}") });
        }
    }

    /// Others drain every registration of this instance, nothing of it was taken out here, and no deployment explains
    /// it. Nothing is known of the end then; where the settings say so, that is notice enough.
    pub(crate) fn notice_foreign_drain(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.suspect(now.at);
        self.drained_by_others = self.settings.on_foreign_drain != OnAdvice::Ignore && self.is_drained_by_others();
        if self.drained_by_others && self.settings.on_foreign_drain == OnAdvice::Drain {
            self.notice_seen(now, Notice { kind: NoticeKind::Elastigroup, time: None }, actions);
        }
    }

    /// Whether others drain every registration, and nothing that is known here explains it.
    pub(crate) fn is_drained_by_others(&self) -> bool {
        self.wanted.is_in()
            && self.memory.leases.is_empty()
            && self.memory.taken_out.is_empty()
            && self.groups.is_draining_everywhere()
    }

    /// Without any notice left the instance stays, where the settings let it.
    pub(crate) fn notice_withdrawn(&mut self, notice: &Notice) {
        if self.advice.as_ref() == Some(notice) {
            self.advice = None;
        }
        let Some(leaving) = &mut self.memory.leaving else { return };
        if !self.settings.return_when_withdrawn {
            return;
        }
        leaving.notices.retain(|seen| seen != notice);
        match leaving.earliest_end(&self.settings) {
            Some(deadline) => leaving.deadline = deadline,
            None => self.stay(),
        }
    }

    /// What was said, or is being said, of an end that does not come is no word of the next one.
    fn stay(&mut self) {
        self.memory.leaving = None;
        self.scripts_ended = false;
        self.said.clear();
        for ask in [Ask::Scripts, Ask::RemoveTags, Ask::Release, Ask::Elastigroup(Topic::Shutdown)] {
            self.asks.forget(&ask);
        }
    }
}

impl Memory {
    /// A new run of the agent: a stop of the unit that was meant for the run before is over.
    pub(crate) fn wake_up(&mut self, settings: &Settings) {
        let Some(leaving) = &mut self.leaving else { return };
        if !leaving.notices.iter().any(|notice| notice.kind == NoticeKind::Shutdown) {
            return;
        }
        leaving.notices.retain(|notice| notice.kind != NoticeKind::Shutdown);
        match leaving.earliest_end(settings) {
            Some(deadline) => leaving.deadline = deadline,
            None => self.leaving = None,
        }
    }
}

fn ends_the_instance(settings: &Settings, kind: NoticeKind) -> bool {
    match kind {
        NoticeKind::Rebalance => settings.on_rebalance == OnAdvice::Drain,
        NoticeKind::SpotTerminate
        | NoticeKind::SpotStop
        | NoticeKind::SpotHibernate
        | NoticeKind::Scheduled
        | NoticeKind::AutoScaling
        | NoticeKind::Elastigroup
        | NoticeKind::Shutdown
        | NoticeKind::Operator => true,
    }
}

/// By when all must be done: the notice's own time; else the budget.
pub(crate) fn deadline(settings: &Settings, now: Now, notice: &Notice) -> Instant {
    let given = notice.time.map(|time| time.remaining(now.wall));
    let left = match (notice.kind, given) {
        // Freezing begins with the notice: what is short may still be done.
        (NoticeKind::SpotHibernate, given) => given.unwrap_or(settings.hibernate_budget).min(settings.hibernate_budget),
        // Advice names the time at which it was given.
        (NoticeKind::Rebalance, _) | (_, None) => settings.leave_budget,
        (
            NoticeKind::SpotTerminate
            | NoticeKind::SpotStop
            | NoticeKind::Scheduled
            | NoticeKind::AutoScaling
            | NoticeKind::Elastigroup
            | NoticeKind::Shutdown
            | NoticeKind::Operator,
            Some(given),
        ) => given,
    };
    now.at.after(left)
}
