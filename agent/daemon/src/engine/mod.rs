//! Holds the core: hands it what was heard, writes its memory down, carries out what it says.

mod hands;
mod log;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, BoxFuture};
use futures_util::stream::{BoxStream, FuturesUnordered, SelectAll, abortable, once};
use pitcrew_core::Core;
use pitcrew_core::elastigroup::Order;
use pitcrew_core::ids::CallId;
use pitcrew_core::leaving::Stage;
use pitcrew_core::memory::Memory;
use pitcrew_core::notice::{Notice, NoticeKind};
use pitcrew_core::time::{Now, WallTime, millis};
use pitcrew_core::view::View;
use pitcrew_core::wire::{Action, Answer, Event, Failure, FailureKind, Moment, Verdict};
use tokio::sync::{mpsc, watch};

use crate::doors::Clock;
use crate::effect::announce::Announcement;
use crate::intake::imds::Sight;
use crate::intake::socket::{CallEvent, Replies, Request};
use crate::protocol::LeavePlan;
use crate::report::chronicle::Chronicle;

pub use crate::config::OnStop;
pub use hands::Hands;
use log::Log;

/// What reaches the engine.
#[derive(Debug)]
pub enum Input {
    /// Something happened outside.
    Heard(Event),
    /// Somebody called on the socket.
    Call(CallEvent),
    /// The service manager stops the agent.
    StopAsked,
}

impl From<CallEvent> for Input {
    fn from(call: CallEvent) -> Self {
        Input::Call(call)
    }
}

impl From<Event> for Input {
    fn from(event: Event) -> Self {
        Input::Heard(event)
    }
}

impl From<Sight> for Input {
    fn from(sight: Sight) -> Self {
        match sight {
            Sight::Blind { why, .. } => Input::Heard(Event::SightLost { why }),
            Sight::Seeing { .. } => Input::Heard(Event::SightRegained),
        }
    }
}

/// Where the core's memory is written before anything that depends on it is done.
pub trait Keeper: Send {
    /// Writes the memory down; when this returns it survives a crash. The error is a sentence for people.
    fn keep(&mut self, memory: &Memory, now: Now) -> Result<(), String>;
}

/// So many records fit into one reply.
const TOLD: usize = 1000;

/// How long an agent that has left waits for those who are still being told.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// The engine. Dropping it stops everything that is under way.
pub struct Engine {
    core: Core,
    clock: Arc<dyn Clock>,
    hands: Arc<Hands>,
    keeper: Box<dyn Keeper>,
    kept: Option<Memory>,
    on_stop: OnStop,
    callers: BTreeMap<CallId, Replies>,
    under_way: SelectAll<BoxStream<'static, Event>>,
    /// Stops `drain.d`, while it runs.
    scripts: Option<AbortHandle>,
    /// What the operator is told; nothing waits for it.
    announcing: FuturesUnordered<BoxFuture<'static, ()>>,
    /// Keeps the lifecycle hook of an Auto Scaling group waiting, while there is something to wait for.
    kept_waiting: Option<BoxFuture<'static, Infallible>>,
    view: watch::Sender<Option<Arc<View>>>,
    chronicle: Chronicle,
    log: Log,
}

impl Engine {
    /// An engine around a core that has taken up its memory. `view` is told of every change that people can see, and
    /// `chronicle` of everything.
    pub fn new(
        core: Core,
        clock: Arc<dyn Clock>,
        hands: Hands,
        keeper: Box<dyn Keeper>,
        on_stop: OnStop,
        view: watch::Sender<Option<Arc<View>>>,
        chronicle: Chronicle,
    ) -> Self {
        Self {
            core,
            clock,
            hands: Arc::new(hands),
            keeper,
            kept: None,
            on_stop,
            callers: BTreeMap::new(),
            under_way: SelectAll::new(),
            scripts: None,
            announcing: FuturesUnordered::new(),
            kept_waiting: None,
            view,
            chronicle,
            log: Log::default(),
        }
    }

    /// Runs until the agent is asked to stop and has left, or stays as told.
    pub async fn run(mut self, mut inbox: mpsc::Receiver<Input>) {
        self.step(Event::Started);
        while let Some(input) = self.next(&mut inbox).await {
            match input {
                Input::Heard(event) => self.step(event),
                Input::Call(call) => self.call(call),
                Input::StopAsked => match self.on_stop {
                    OnStop::Stay => return,
                    OnStop::Leave(budget) => self.step(Event::NoticeSeen { notice: self.shutdown(budget) }),
                },
            }
            if self.has_left_for_shutdown() {
                return self.finish_announcing().await;
            }
        }
    }

    async fn finish_announcing(mut self) {
        let told = async { while self.announcing.next().await.is_some() {} };
        // Who is not told by then learns it from what it no longer hears.
        let _ = tokio::time::timeout(LAST_WORDS, told).await;
    }

    /// The next thing to think about: the first of an outcome, something heard, or the moment that the core asked for.
    async fn next(&mut self, inbox: &mut mpsc::Receiver<Input>) -> Option<Input> {
        let wake = self.core.wake_at().map(|at| at.remaining(self.clock.now().at));
        let sleep = async {
            match wake {
                // A millisecond more: a timer must not fire before the moment by the other clock.
                Some(left) => tokio::time::sleep(left + Duration::from_millis(1)).await,
                None => std::future::pending().await,
            }
        };
        let kept_waiting = async {
            match &mut self.kept_waiting {
                Some(keeps_waiting) => keeps_waiting.await,
                None => std::future::pending().await,
            }
        };
        let announced = async {
            while self.announcing.next().await.is_some() {}
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            biased;
            Some(event) = self.under_way.next() => Some(Input::Heard(event)),
            input = inbox.recv() => input,
            () = sleep => Some(Input::Heard(Event::TimerElapsed)),
            never = kept_waiting => match never {},
            never = announced => match never {},
        }
    }

    fn call(&mut self, call: CallEvent) {
        match call {
            CallEvent::Arrived { call, request: Request::Hook(hook), replies } => {
                self.callers.insert(call, replies);
                self.step(Event::HookArrived { call, hook });
            }
            CallEvent::Arrived { call, request: Request::Operator(request), replies } => {
                self.callers.insert(call, replies);
                self.step(Event::OperatorAsked { call, request });
            }
            CallEvent::Arrived { request: Request::Status, replies, .. } => {
                let view = self.core.view(self.clock.now());
                // A view is plain data with string keys: it always has a JSON form.
                replies.status(serde_json::to_value(view).unwrap_or_default());
            }
            CallEvent::Arrived { request: Request::LeavePlan(within), replies, .. } => {
                let plan = LeavePlan {
                    core: self.core.leave_plan(self.clock.now(), within),
                    scripts: self.hands.scripts.names(),
                    remove_tags: self.hands.remove_tags.clone(),
                };
                replies.status(serde_json::to_value(plan).unwrap_or_default());
            }
            CallEvent::Arrived { request: Request::History, replies, .. } => {
                let records = self.chronicle.records();
                let latest = records.get(records.len().saturating_sub(TOLD)..).unwrap_or_default();
                replies.status(serde_json::to_value(latest).unwrap_or_default());
            }
            CallEvent::Abandoned { call } => self.step(Event::CallAbandoned { call }),
        }
    }

    fn step(&mut self, event: Event) {
        let now = self.clock.now();
        self.log.event(&event);
        self.chronicle.event(now, &event);
        if let Event::DrainScriptsEnded { .. } = event {
            self.scripts = None;
        }
        let actions = self.core.step(now, event);
        let kept = self.keep(now);
        for action in actions {
            match &kept {
                Err(sentence) if self.must_be_remembered(&action) => self.refuse(&action, sentence),
                Ok(()) | Err(_) => self.carry_out(action),
            }
        }
        self.keep_hook_waiting();
        self.give_up_scripts();
        let view = Arc::new(self.core.view(now));
        self.log.view(&view);
        self.chronicle.view(now, &view);
        self.view.send_if_modified(|shown| {
            let changed = shown.as_ref() != Some(&view);
            *shown = Some(view);
            changed
        });
    }

    /// A group whose hook is not kept waiting takes the instance away before it has left.
    fn keep_hook_waiting(&mut self) {
        let wanted = self.core.memory().leaving.as_ref().is_some_and(|leaving| {
            leaving.stage != Stage::Done && leaving.notices.iter().any(|notice| notice.kind == NoticeKind::AutoScaling)
        });
        if !wanted {
            self.kept_waiting = None;
        } else if self.kept_waiting.is_none() {
            let hands = self.hands.clone();
            self.kept_waiting = Some(Box::pin(async move { hands.release.keep_waiting().await }));
        }
    }

    /// Nothing waits for scripts any more where another notice left them no time, or the notice was withdrawn.
    fn give_up_scripts(&mut self) {
        let wanted = self.core.memory().leaving.as_ref().is_some_and(|leaving| leaving.stage == Stage::Scripts);
        if !wanted && let Some(scripts) = self.scripts.take() {
            scripts.abort();
            let failure = Failure { kind: FailureKind::Unavailable, sentence: "drain.d was given up".to_owned() };
            let event = Event::DrainScriptsEnded { answer: Err(failure) };
            self.under_way.push(once(std::future::ready(event)).boxed());
        }
    }

    fn keep(&mut self, now: Now) -> Result<(), String> {
        if self.kept.as_ref().is_some_and(|kept| self.core.memory().is_kept_by(kept)) {
            return Ok(());
        }
        let outcome = self.keeper.keep(self.core.memory(), now);
        self.chronicle.ledger_written(outcome.is_ok());
        match &outcome {
            Ok(()) => {
                self.kept = Some(self.core.memory().clone());
                self.log.ledger_written();
            }
            Err(sentence) => self.log.ledger_failed(sentence),
        }
        outcome
    }

    /// A target that is taken out must be remembered, or a crash would strand it; only an instance that leaves has no
    /// use for the memory.
    fn must_be_remembered(&self, action: &Action) -> bool {
        match action {
            Action::Deregister { .. } | Action::Elastigroup(Order::EnterStandby) => {
                self.core.memory().leaving.is_none()
            }
            Action::LearnOwner { .. }
            | Action::LearnDeployment { .. }
            | Action::DiscoverGroups
            | Action::ObserveGroup { .. }
            | Action::Register { .. }
            | Action::CountConnections { .. }
            | Action::Reply { .. }
            | Action::Promise { .. }
            | Action::Retract { .. }
            | Action::Progress { .. }
            | Action::AskReplacement
            | Action::RunDrainScripts { .. }
            | Action::RemoveTags
            | Action::Release { .. }
            | Action::Elastigroup(_)
            | Action::Announce { .. } => false,
        }
    }

    fn refuse(&mut self, action: &Action, sentence: &str) {
        let failure = Failure { kind: FailureKind::Throttled, sentence: sentence.to_owned() };
        let event = match action {
            Action::Deregister { group, .. } => Event::Deregistered { group: group.clone(), answer: Err(failure) },
            Action::Elastigroup(order) => Event::ElastigroupReplied { order: order.clone(), answer: Err(failure) },
            _ => return,
        };
        self.under_way.push(once(std::future::ready(event)).boxed());
    }

    fn carry_out(&mut self, action: Action) {
        self.log.action(&action);
        self.chronicle.action(self.clock.now(), &action);
        match action {
            Action::Reply { call, answer } => self.reply(call, answer),
            Action::Promise { call, answer, within } => {
                if let Some(caller) = self.callers.get(&call) {
                    caller.promise(answer, within);
                }
            }
            Action::Retract { call } => {
                if let Some(caller) = self.callers.get(&call) {
                    caller.retract();
                }
            }
            Action::Progress { call, sentence } => {
                if let Some(caller) = self.callers.get(&call) {
                    caller.progress(sentence);
                }
            }
            Action::Announce { moment, why, sentence } => self.announce(moment, why, sentence),
            outside => self.begin(outside),
        }
    }

    fn begin(&mut self, action: Action) {
        let is_scripts = matches!(action, Action::RunDrainScripts { .. });
        let Some(outcome) = Hands::carry_out(self.hands.clone(), action) else { return };
        if is_scripts {
            let (scripts, handle) = abortable(outcome);
            self.scripts = Some(handle);
            self.under_way.push(scripts.boxed());
        } else {
            self.under_way.push(outcome);
        }
    }

    fn reply(&mut self, call: CallId, answer: Answer) {
        if let Some(caller) = self.callers.remove(&call) {
            caller.answer(answer);
        }
    }

    fn announce(&mut self, moment: Moment, why: NoticeKind, sentence: String) {
        let leaving = self.core.memory().leaving.as_ref();
        let deadline = leaving.map_or(self.clock.now().at, |leaving| leaving.deadline);
        let hands = self.hands.clone();
        self.announcing.push(Box::pin(async move {
            hands.announcer.announce(Announcement { moment, why, sentence, deadline }).await;
        }));
    }

    fn shutdown(&self, budget: Duration) -> Notice {
        let ends = self.clock.now().wall.0.saturating_add(millis(budget));
        Notice { kind: NoticeKind::Shutdown, time: Some(WallTime(ends)) }
    }

    fn has_left_for_shutdown(&self) -> bool {
        let leaving = self.core.memory().leaving.as_ref();
        self.core.has_left()
            && leaving.is_some_and(|leaving| leaving.notices.iter().any(|notice| notice.kind == NoticeKind::Shutdown))
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("core", &self.core).finish_non_exhaustive()
    }
}

/// How an answer is logged: a failure is a warning.
pub(crate) fn is_good(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Done => true,
        Verdict::Failed | Verdict::TimedOut | Verdict::Refused | Verdict::Misconfigured => false,
    }
}
