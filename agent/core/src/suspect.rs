//! A deployment that ended badly and may have left a broken application behind: said, and where wished, replaced.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::asks::Ask;
use crate::core::Core;
use crate::ids::DeploymentId;
use crate::memory::Ending;
use crate::settings::OnDead;
use crate::time::Now;
use crate::wire::Action;

/// A replacement that was asked for and has not come is asked for again at this pace.
const ASK_AGAIN: Duration = Duration::from_secs(600);

/// The latest deployment that ended badly, until the application proves well, or the next deployment begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// Which.
    pub deployment: DeploymentId,
    /// How it ended.
    pub how: Ending,
    /// When.
    pub since: Now,
}

impl Core {
    /// Takes note of how a deployment ended.
    pub(crate) fn suspect_after(&mut self, now: Now, deployment: &DeploymentId, how: Ending) {
        let bad = match how {
            Ending::HookFailed | Ending::Dead | Ending::AssumedDead => true,
            Ending::Succeeded | Ending::SucceededUnheard | Ending::Superseded | Ending::Left => false,
        };
        self.memory.suspect = bad.then(|| Suspect { deployment: deployment.clone(), how, since: now });
        self.asks.forget(&Ask::Replacement);
    }

    /// Clears who proved well, and asks for a replacement of who did not, where the operator wants one.
    pub(crate) fn watch_suspect(&mut self, now: Now, actions: &mut Vec<Action>) {
        let Some(suspect) = &self.memory.suspect else {
            return;
        };
        if self.health.is_healthy_since(suspect.since.at) || !self.memory.leases.is_empty() {
            self.memory.suspect = None;
            self.asks.forget(&Ask::Replacement);
            return;
        }
        let give_up = suspect.since.at.after(self.settings.replace_after);
        if self.settings.on_dead == OnDead::StayOut || !self.wanted.is_in() || self.health.is_healthy() {
            return;
        }
        if now.at < give_up {
            self.asks.wake_no_later_than(give_up);
        } else if self.asks.due(&Ask::Replacement, now.at, ASK_AGAIN) {
            actions.push(Action::AskReplacement);
        }
    }

    /// What people are told of a deployment that left the application unwell.
    pub(crate) fn said_of_suspect(&self) -> Option<String> {
        let suspect = self.memory.suspect.as_ref().filter(|_| !self.health.is_healthy())?;
        let Suspect { deployment, how, .. } = suspect;
        let then = match self.settings.on_dead {
            OnDead::StayOut => "until the application is mended or deployed to again",
            OnDead::Replace => "until the application is well, or the instance replaced",
        };
        Some(format!("deployment {deployment} ended ({}) and left the application unhealthy: out {then}", how.word()))
    }
}
