//! What is shown of Elastigroup.

use serde::{Deserialize, Serialize};

use super::{Held, Life, Process, Receipt};
use crate::core::Core;
use crate::time::{Instant, Now, WallTime};

/// How this instance stands with its Elastigroup. Times are milliseconds since 1970 UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElastigroupView {
    /// What Elastigroup said last of this instance: `active`, `terminating`, or its own word; `None`: nothing yet.
    pub life: Option<String>,
    /// Locked against scale-in until then.
    pub locked_until: Option<WallTime>,
    /// The group's processes that are suspended on behalf of a deployment here.
    pub suspended: Vec<Process>,
    /// They are until then.
    pub suspended_until: Option<WallTime>,
    /// In standby since then, or on the way.
    pub standby_since: Option<WallTime>,
    /// Elastigroup's answer to the word that this instance is ready.
    pub ready: Option<Receipt>,
}

impl Core {
    /// `None`: there is no token.
    pub(crate) fn elastigroup_view(&self, now: Now) -> Option<ElastigroupView> {
        let settings = self.settings.elastigroup.as_ref()?;
        let wall = |at: Instant| WallTime(now.wall.0.saturating_add(at.0).saturating_sub(now.at.0));
        let sure = |held: Option<Held>| held.filter(|held| held.sure).map(|held| wall(held.until));
        let kept = &self.memory.elastigroup;
        let suspended_until = sure(kept.suspensions);
        Some(ElastigroupView {
            life: self.watched.life.as_ref().map(|life| match life {
                Life::Active => "active".to_owned(),
                Life::Terminating => "terminating".to_owned(),
                Life::Unknown(word) => word.clone(),
            }),
            locked_until: sure(kept.lock),
            suspended: suspended_until.map(|_| settings.suspend.iter().copied().collect()).unwrap_or_default(),
            suspended_until,
            standby_since: kept.standby.map(|standby| wall(standby.since)),
            ready: kept.ready.clone(),
        })
    }
}
