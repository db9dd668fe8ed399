//! What an operator is answered. The wish stands, whether or not the caller waits for it.

use super::{Call, Consequence, Judged, answer, done};
use crate::core::Core;
use crate::leaving::Stage;
use crate::standing::Progress;
use crate::time::{Now, Spoken};
use crate::traffic::{Traffic, Why};
use crate::wire::{Failure, OperatorRequest, Verdict};

impl Core {
    pub(super) fn judge_operator(&mut self, now: Now, call: &Call, request: &OperatorRequest) -> Judged {
        match request {
            OperatorRequest::Out { .. } => self.judge_out(now, call),
            OperatorRequest::In { .. } => self.judge_in(now, call),
            OperatorRequest::Leave { waits, .. } => self.judge_leave(now, call, *waits),
        }
    }

    fn judge_out(&mut self, now: Now, call: &Call) -> Judged {
        if self.memory.hold.is_none() && self.memory.leaving.is_none() {
            let sentence = "no longer held: `pitcrew in` was called, or the time of this `pitcrew out` is over";
            return Judged::Answer(answer(Verdict::Failed, sentence), Consequence::None);
        }
        match self.is_out(now) {
            Progress::There => done(self.said_of_being_out(now, call), Consequence::None),
            Progress::Underway(sentence) => underway(now, call, sentence),
            Progress::Stuck(failure) => hopeless(failure),
        }
    }

    fn judge_in(&mut self, now: Now, call: &Call) -> Judged {
        let progress = match &self.wanted {
            Traffic::In => match self.health.complaint() {
                Some(complaint) if self.memory.is_out() => {
                    Progress::Underway(format!("waiting for the application: {complaint}"))
                }
                Some(_) | None => self.is_known_to_be_in(),
            },
            Traffic::Out(Why::Deploying(ids)) => {
                let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
                let sentence = format!("no longer held; traffic returns after deployment {}", ids.join(", "));
                return done(sentence, Consequence::None);
            }
            Traffic::Out(Why::Leaving(kind)) => {
                let sentence = format!("leaving ({kind}): this instance does not return to traffic");
                return Judged::Answer(answer(Verdict::Refused, sentence), Consequence::None);
            }
            Traffic::Out(Why::Held) => {
                let sentence = "held again by another `pitcrew out`";
                return Judged::Answer(answer(Verdict::Failed, sentence), Consequence::None);
            }
        };
        match progress {
            Progress::There => done("in traffic", Consequence::None),
            Progress::Underway(sentence) => underway(now, call, sentence),
            Progress::Stuck(failure) => hopeless(failure),
        }
    }

    fn judge_leave(&mut self, now: Now, call: &Call, waits: bool) -> Judged {
        let Some(leaving) = self.memory.leaving.clone() else {
            return Judged::Answer(answer(Verdict::Failed, "no longer leaving"), Consequence::None);
        };
        match leaving.stage {
            Stage::Done if leaving.skipped.is_empty() => done("left: out of traffic for good", Consequence::None),
            Stage::Done => {
                let sentence = format!("left, but {}", leaving.skipped.join("; "));
                Judged::Answer(answer(Verdict::Failed, sentence), Consequence::None)
            }
            Stage::Draining | Stage::Scripts | Stage::Tags | Stage::Release if !waits => {
                let left = Spoken(leaving.deadline.remaining(now.at));
                done(format!("leaving, within {left}"), Consequence::None)
            }
            Stage::Draining => match self.is_out(now) {
                Progress::There => underway(now, call, "out of traffic".into()),
                Progress::Underway(sentence) => underway(now, call, sentence),
                Progress::Stuck(failure) => underway(now, call, failure.sentence),
            },
            Stage::Scripts | Stage::Tags | Stage::Release => underway(now, call, leaving.stage.word().into()),
        }
    }
}

/// An operator's wish stands, whether or not somebody waits for it.
fn underway(now: Now, call: &Call, sentence: String) -> Judged {
    if now.at < call.deadline {
        return Judged::Wait(sentence);
    }
    let sentence = format!("not there yet: {sentence}; what was asked still stands");
    Judged::Answer(answer(Verdict::TimedOut, sentence), Consequence::None)
}

fn hopeless(failure: Failure) -> Judged {
    Judged::Answer(answer(Verdict::Misconfigured, failure.sentence), Consequence::None)
}
