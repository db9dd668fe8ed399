//! The last phase of an instance: one sequence under one budget, resumed where a crash cut it off.
//!
//! Out of every balancer and drained → the operator's scripts → the tags by which CodeDeploy chooses → whoever waits
//! for this instance is told → done. Each stage has its share of what is left; what does not fit is skipped, and said.

mod notices;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::asks::Ask;
use crate::core::Core;
use crate::elastigroup::{Order, Signal, Topic};
use crate::notice::{Notice, NoticeKind};
use crate::settings::Settings;
use crate::standing::Progress;
use crate::time::{Instant, Now, Spoken, millis};
use crate::view::TargetView;
use crate::wire::{Action, Failure, Moment, Owner};
pub(crate) use notices::deadline;

/// How long a failed last word is tried again.
const SAY_AGAIN: Duration = Duration::from_secs(1);

/// The instance is leaving: out of traffic for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Every notice that says so, in the order in which they were seen.
    pub notices: Vec<Notice>,
    /// When the first of them was seen.
    pub since: Now,
    /// The earliest end that any of them names, or the budget where none does.
    pub deadline: Instant,
    /// How far the sequence has come.
    pub stage: Stage,
    /// The operator's scripts that have ended, and how.
    pub scripts: BTreeMap<String, String>,
    /// What did not fit into the budget, or did not work: sentences for people.
    pub skipped: Vec<String>,
}

/// How the time would be shared out if the instance left now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeavePlan {
    /// For everything, in milliseconds.
    pub budget_ms: u64,
    /// Of it, at most for getting out of every balancer and for what is in flight, in milliseconds.
    pub drain_ms: u64,
    /// Scripts that still run after so many milliseconds are killed.
    pub scripts_until_ms: u64,
    /// The registrations to be taken out.
    pub targets: Vec<TargetView>,
}

/// A stage of leaving. Each is finished once, or tried again after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Out of every balancer, and what is in flight ends.
    Draining,
    /// The operator's `drain.d` runs.
    Scripts,
    /// The tags by which CodeDeploy chooses this instance are removed.
    Tags,
    /// Whoever waits for this instance is told that it may go.
    Release,
    /// Nothing is left to do.
    Done,
}

impl Stage {
    fn next(self) -> Stage {
        match self {
            Stage::Draining => Stage::Scripts,
            Stage::Scripts => Stage::Tags,
            Stage::Tags => Stage::Release,
            Stage::Release | Stage::Done => Stage::Done,
        }
    }

    /// The word used in logs, metrics and for people.
    pub fn word(self) -> &'static str {
        match self {
            Stage::Draining => "draining",
            Stage::Scripts => "running drain.d",
            Stage::Tags => "removing tags",
            Stage::Release => "releasing",
            Stage::Done => "done",
        }
    }
}

impl Leaving {
    fn until(deadline: Instant, now: Now) -> Self {
        Self {
            notices: Vec::new(),
            since: now,
            deadline,
            stage: Stage::Draining,
            scripts: BTreeMap::new(),
            skipped: Vec::new(),
        }
    }

    /// Why, in a word: the first notice's.
    pub fn why(&self) -> NoticeKind {
        self.notices.first().map_or(NoticeKind::Operator, |notice| notice.kind)
    }

    /// The earliest end that a notice names; `None` where no notice is left.
    fn earliest_end(&self, settings: &Settings) -> Option<Instant> {
        self.notices.iter().map(|notice| deadline(settings, self.since, notice)).min()
    }

    /// Whom to tell that the instance may go: a group that waits for it, also where another notice came first.
    fn released_from(&self) -> NoticeKind {
        let waits = self.notices.iter().any(|notice| notice.kind == NoticeKind::AutoScaling);
        if waits { NoticeKind::AutoScaling } else { self.why() }
    }

    /// What is kept for the stages after the drain and after the scripts: the short last calls.
    fn tail(&self) -> Duration {
        (self.deadline.since(self.since.at) / 10).min(Duration::from_secs(5))
    }

    /// The drain's share of the time ends: a drain that is not over by then is cut short.
    pub fn drain_until(&self) -> Instant {
        let budget = self.deadline.since(self.since.at);
        let scripts = (budget / 4).min(Duration::from_secs(30));
        self.since.at.after(budget.saturating_sub(self.tail() + scripts))
    }

    /// Scripts that still run by then are killed.
    fn scripts_until(&self) -> Instant {
        self.since.at.after(self.deadline.since(self.since.at).saturating_sub(self.tail()))
    }

    /// When this stage must be over.
    fn stage_until(&self) -> Instant {
        match self.stage {
            Stage::Draining => self.drain_until(),
            Stage::Scripts => self.scripts_until(),
            Stage::Tags | Stage::Release | Stage::Done => self.deadline,
        }
    }
}

impl Core {
    /// Goes as far through the sequence as can be gone now.
    pub(crate) fn advance_leaving(&mut self, now: Now, actions: &mut Vec<Action>) {
        while let Some(leaving) = self.memory.leaving.clone() {
            let over = match leaving.stage {
                Stage::Draining => self.drain_is_over(now, &leaving),
                Stage::Scripts => self.scripts_are_over(now.at, &leaving, actions),
                Stage::Tags => {
                    let ask = self.settings.remove_tags.then_some((Ask::RemoveTags, Action::RemoveTags));
                    self.last_word(now.at, &leaving, ask, actions)
                }
                Stage::Release if self.may_be_put_back(now, &leaving) => false,
                Stage::Release => self.last_word(now.at, &leaving, self.release_word(&leaving), actions),
                Stage::Done => return,
            };
            if !over {
                self.asks.wake_no_later_than(leaving.stage_until());
                return;
            }
            self.finish_stage(now, &leaving, actions);
        }
    }

    fn finish_stage(&mut self, now: Now, finished: &Leaving, actions: &mut Vec<Action>) {
        let Some(leaving) = &mut self.memory.leaving else { return };
        leaving.stage = finished.stage.next();
        if leaving.stage == Stage::Done {
            let took = Spoken(now.at.since(leaving.since.at));
            let (moment, sentence) = if leaving.skipped.is_empty() {
                (Moment::Left, format!("left after {took}"))
            } else {
                (Moment::LeftBadly, format!("left after {took}, but {}", leaving.skipped.join("; ")))
            };
            actions.push(Action::Announce { moment, why: leaving.why(), sentence });
        }
    }

    fn skip(&mut self, sentence: String) {
        if let Some(leaving) = &mut self.memory.leaving {
            leaving.skipped.push(sentence);
        }
    }

    fn drain_is_over(&mut self, now: Now, leaving: &Leaving) -> bool {
        let sentence = match self.is_out(now) {
            Progress::There => return true,
            Progress::Underway(sentence) => sentence,
            Progress::Stuck(failure) => failure.sentence,
        };
        let over = now.at >= leaving.drain_until();
        if over {
            self.skip(format!("the drain was cut short ({sentence})"));
        }
        over
    }

    fn scripts_are_over(&mut self, now: Instant, leaving: &Leaving, actions: &mut Vec<Action>) -> bool {
        if self.scripts_ended {
            return true;
        }
        if now >= leaving.scripts_until() {
            self.skip("no time was left for all of drain.d".into());
            return true;
        }
        if self.asks.due(&Ask::Scripts, now, SAY_AGAIN) {
            actions.push(Action::RunDrainScripts {
                why: leaving.why(),
                until: leaving.scripts_until(),
                ended: leaving.scripts.keys().cloned().collect(),
            });
        }
        false
    }

    /// Whether CodeDeploy may yet register this instance, or has and it is not out again. Whoever waits for the instance goes
    /// on waiting meanwhile: told that it may go, it would end under the requests that this brings.
    fn may_be_put_back(&mut self, now: Now, leaving: &Leaving) -> bool {
        let until = leaving.drain_until();
        if now.at >= until {
            return false;
        }
        let deploys = self.memory.leases.values().any(|lease| lease.owner == Owner::CodeDeploy);
        let waits = deploys || !matches!(self.is_out(now), Progress::There);
        if waits {
            self.asks.wake_no_later_than(until);
        }
        waits
    }

    /// How whoever waits for this instance is told that it may go.
    fn release_word(&self, leaving: &Leaving) -> Option<(Ask, Action)> {
        let detached = leaving.notices.iter().any(|notice| notice.kind == NoticeKind::Elastigroup);
        if detached && self.settings.elastigroup.is_some() {
            // Where the group does not declare the signal, its draining timeout rules whatever is said.
            let declares = self.watched.declared.is_none_or(|declared| declared.shutdown_timeout.is_some());
            let signal = Action::Elastigroup(Order::Signal(Signal::ReadyToShutdown));
            return declares.then_some((Ask::Elastigroup(Topic::Shutdown), signal));
        }
        Some((Ask::Release, Action::Release { why: leaving.released_from() }))
    }

    /// A short call that is tried until it works, cannot work, or the time is over.
    fn last_word(
        &mut self,
        now: Instant,
        leaving: &Leaving,
        word: Option<(Ask, Action)>,
        actions: &mut Vec<Action>,
    ) -> bool {
        let Some((ask, action)) = word else { return true };
        if self.said.remove(&ask) {
            return true;
        }
        let failure = self.asks.failure(&ask).map(|(_, failure)| failure.clone());
        if let Some(failure) = failure.filter(|failure| !failure.kind.is_transient() || now >= leaving.deadline) {
            self.skip(failure.sentence);
            return true;
        }
        if now >= leaving.deadline {
            self.skip(format!("no time was left for {}", leaving.stage.word()));
            return true;
        }
        if self.asks.due(&ask, now, SAY_AGAIN) {
            actions.push(action);
        }
        false
    }

    pub(crate) fn last_word_said(&mut self, now: Instant, ask: Ask, answer: Result<(), Failure>) {
        if self.asks.answered(&ask, now, answer.as_ref().err()).is_some() && answer.is_ok() {
            self.said.insert(ask);
        }
    }

    pub(crate) fn script_ended(&mut self, name: String, how: Result<String, String>) {
        let Some(leaving) = &mut self.memory.leaving else { return };
        let word = match how {
            Ok(word) => word,
            Err(word) => {
                leaving.skipped.push(format!("drain.d/{name} {word}"));
                word
            }
        };
        leaving.scripts.insert(name, word);
    }

    pub(crate) fn scripts_ended(&mut self, now: Instant, answer: Result<(), Failure>) {
        if self.asks.answered(&Ask::Scripts, now, answer.as_ref().err()).is_none() {
            return;
        }
        match answer {
            Ok(()) => self.scripts_ended = true,
            Err(failure) if failure.kind.is_transient() => {}
            Err(failure) => {
                self.skip(failure.sentence);
                self.scripts_ended = true;
            }
        }
    }

    /// What `pitcrew leave` would do now; nothing is done.
    pub fn leave_plan(&mut self, now: Now, within: Option<Duration>) -> LeavePlan {
        let deadline = deadline(&self.settings, now, &Notice::of_operator(now, within));
        let leaving = Leaving::until(deadline, now);
        let ms = |until: Instant| millis(until.since(now.at));
        LeavePlan {
            budget_ms: ms(leaving.deadline),
            drain_ms: ms(leaving.drain_until()),
            scripts_until_ms: ms(leaving.scripts_until()),
            targets: self.view(now).targets,
        }
    }

    /// Whether nothing is left to do before the end.
    pub fn has_left(&self) -> bool {
        self.memory.leaving.as_ref().is_some_and(|leaving| leaving.stage == Stage::Done)
    }
}
