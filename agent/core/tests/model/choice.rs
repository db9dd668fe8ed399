//! Where a way forks: what may happen next in a state, by itself or as a trouble.

use pitcrew_core::notice::NoticeKind;
use pitcrew_core::wire::{Action, FailureKind};

use crate::elastigroup::is_standby;
use crate::world::{Happening, World};

/// What happens next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// What is due first happens.
    GoOn,
    /// A deployment that has not begun begins.
    Begin(usize),
    /// The operator ends the hold.
    EndHold,
    Trouble(Trouble),
}

/// What goes wrong, or comes in between. So many of them are allowed on one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The call that is answered next fails, without effect.
    Fails(FailureKind),
    /// The change that is answered next takes effect, now or later; its answer is lost.
    LosesAnswer {
        later: bool,
    },
    /// The call that is answered next takes long.
    Late,
    /// The look that is answered next shows what was before the latest change.
    Stale,
    /// The agent dies in the next step: before or after its memory was written, after so many actions.
    Crash {
        written: bool,
        actions: usize,
    },
    Notice(NoticeKind),
    Withdraw,
    Out,
    Leave,
    /// The hook that waits is stopped.
    Stop(usize),
    /// The hook that waits calls a second time.
    Repeat(usize),
    /// Nothing more is heard of the deployment: CodeDeploy died, or a later script failed.
    Silent(usize),
    PutBack,
    TakeAway,
    ApplicationDown,
    PeersIll,
}

impl World {
    /// Every choice that there is here; the last is made first.
    pub(crate) fn choices(&self) -> Vec<Choice> {
        let mut choices = Vec::new();
        if self.troubles > 0 {
            choices.extend(self.troubles().into_iter().map(Choice::Trouble));
        }
        let begin = self.deployments.iter().position(|deployment| !deployment.has_begun() && !deployment.is_over());
        choices.extend(begin.map(Choice::Begin));
        if !self.is_at_rest() {
            choices.push(Choice::GoOn);
        } else if self.memory.hold.is_some() && self.memory.leaving.is_none() {
            choices.push(Choice::EndHold);
        }
        choices
    }

    fn troubles(&self) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        if let Some(action) = self.answered_next() {
            troubles.extend([
                Trouble::Fails(FailureKind::Unavailable),
                Trouble::Fails(FailureKind::Throttled),
                Trouble::Fails(FailureKind::Denied),
                Trouble::Late,
            ]);
            match action {
                change
                    if matches!(change, Action::Deregister { .. } | Action::Register { .. }) || is_standby(change) =>
                {
                    troubles.extend([Trouble::LosesAnswer { later: false }, Trouble::LosesAnswer { later: true }]);
                }
                Action::ObserveGroup { group } if self.may_be_stale(group) => troubles.push(Trouble::Stale),
                _ => {}
            }
        }
        if self.mind.is_none() {
            return troubles;
        }
        if !self.is_at_rest() {
            troubles.push(Trouble::Crash { written: false, actions: 0 });
            troubles.extend([0, 1, usize::MAX].map(|actions| Trouble::Crash { written: true, actions }));
        }
        troubles.extend([NoticeKind::SpotTerminate, NoticeKind::AutoScaling].map(Trouble::Notice));
        troubles.extend([Trouble::Out, Trouble::Leave, Trouble::PutBack, Trouble::TakeAway]);
        if !self.standing.is_empty() {
            troubles.push(Trouble::Withdraw);
        }
        if self.scene.peers > 0 && self.groups.iter().all(|group| group.healthy_peers > 0) {
            troubles.push(Trouble::PeersIll);
        }
        if self.app_is_up() {
            troubles.push(Trouble::ApplicationDown);
        }
        for (n, deployment) in self.deployments.iter().enumerate() {
            if deployment.calling().is_some() {
                troubles.extend([Trouble::Stop(n), Trouble::Repeat(n)]);
            } else if deployment.is_open() {
                troubles.push(Trouble::Silent(n));
            }
        }
        troubles
    }

    /// The call that is answered next, if that is what happens next.
    fn answered_next(&self) -> Option<&Action> {
        match self.next()? {
            (_, Some(Happening::Arrives { action, answered: true })) => Some(action),
            (_, Some(_) | None) => None,
        }
    }
}
