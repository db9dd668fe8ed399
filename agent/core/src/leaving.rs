//! The last phase of an instance: what was said of its end, and how far the leaving has come.

use serde::{Deserialize, Serialize};

use crate::core::Core;
use crate::memory::Memory;
use crate::notice::{Notice, NoticeKind};
use crate::time::{Instant, Now};

/// The instance is leaving: out of traffic for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Every notice that says so, in the order in which they were seen.
    pub notices: Vec<Notice>,
    /// When the first of them was seen.
    pub since: Now,
    /// The earliest end that any of them names.
    pub deadline: Option<Instant>,
}

impl Leaving {
    /// Why, in a word: the first notice's.
    pub fn why(&self) -> NoticeKind {
        self.notices.first().map_or(NoticeKind::Operator, |notice| notice.kind)
    }
}

impl Memory {
    /// A new run of the agent: a stop of the unit that was meant for the run before is over.
    pub(crate) fn wake_up(&mut self) {
        if let Some(leaving) = &mut self.leaving {
            leaving.notices.retain(|notice| notice.kind != NoticeKind::Shutdown);
            if leaving.notices.is_empty() {
                self.leaving = None;
            }
        }
    }
}

impl Core {
    pub(crate) fn notice_seen(&mut self, now: Now, notice: Notice) {
        if !notice.kind.ends_the_instance() {
            return;
        }
        let deadline = match notice.kind {
            // Freezing begins with the notice.
            NoticeKind::SpotHibernate => Some(now.at),
            NoticeKind::SpotTerminate
            | NoticeKind::SpotStop
            | NoticeKind::Rebalance
            | NoticeKind::Scheduled
            | NoticeKind::AutoScaling
            | NoticeKind::Elastigroup
            | NoticeKind::Shutdown
            | NoticeKind::Operator => notice.time.map(|time| now.at.after(time.remaining(now.wall))),
        };
        let leaving =
            self.memory.leaving.get_or_insert_with(|| Leaving { notices: Vec::new(), since: now, deadline: None });
        if leaving.notices.contains(&notice) {
            return;
        }
        leaving.notices.push(notice);
        leaving.deadline = [leaving.deadline, deadline].into_iter().flatten().min();
    }

    pub(crate) fn notice_withdrawn(&mut self, notice: &Notice) {
        let Some(leaving) = &mut self.memory.leaving else {
            return;
        };
        if self.settings.return_when_withdrawn {
            leaving.notices.retain(|seen| seen != notice);
            if leaving.notices.is_empty() {
                self.memory.leaving = None;
            }
        }
    }
}
