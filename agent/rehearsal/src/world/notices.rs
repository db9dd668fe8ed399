//! What becomes of the world's instances: notices are given, read, withdrawn, and acted on.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::World;
use super::autoscaling::Proceeds;
use super::faults::{Fault, MetadataFault};
use super::imds::{Notices, Trouble, rfc3339};
use crate::interruption::Action;
use crate::lock::lock;
use crate::seat::Seat;
use crate::timeline::Happening;

/// A notice, and what became of it. Times count from when the world came up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NoticeRecord {
    /// The instance.
    pub instance: u8,
    /// What was going to happen.
    pub action: Action,
    /// When it could be read for the first time.
    #[serde(serialize_with = "super::seconds")]
    pub given: Duration,
    /// When it was read for the first time.
    #[serde(serialize_with = "super::optional_seconds")]
    pub read: Option<Duration>,
    /// When it was gone again.
    #[serde(serialize_with = "super::optional_seconds")]
    pub withdrawn: Option<Duration>,
    /// When the instance was gone.
    #[serde(serialize_with = "super::optional_seconds")]
    pub taken_away: Option<Duration>,
    /// Groups that sent it requests when the notice was given.
    pub in_traffic: Vec<String>,
    /// Groups in which it was still registered when it went.
    pub left_behind: Vec<String>,
}

/// A time in which a metadata service did not do as it should.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MetadataTrouble {
    /// The instance.
    pub instance: u8,
    /// In which way.
    pub fault: MetadataFault,
    /// Its beginning.
    #[serde(serialize_with = "super::seconds")]
    pub from: Duration,
    /// Its end.
    #[serde(serialize_with = "super::seconds")]
    pub until: Duration,
}

impl NoticeRecord {
    /// Whether the instance does not serve any more, by default: a notice that was read stands, also when it is taken
    /// back.
    pub(crate) fn ends_service(&self) -> bool {
        self.action.takes_away() && (self.read.is_some() || self.taken_away.is_some())
    }
}

impl Action {
    /// The path of the metadata service that tells it, below `/latest/`; `None`: another way.
    fn path(self) -> Option<&'static str> {
        match self {
            Self::Terminate | Self::Stop | Self::Hibernate => Some("meta-data/spot/instance-action"),
            Self::Rebalance => Some("meta-data/events/recommendations/rebalance"),
            Self::Scheduled => Some("meta-data/events/maintenance/scheduled"),
            Self::AutoScaling => Some("meta-data/autoscaling/target-lifecycle-state"),
            // Where the group marks what it detached.
            Self::Elastigroup => Some("meta-data/tags/instance/spotinst:aws:ec2:state"),
            Self::Shutdown => None,
        }
    }
}

impl World {
    /// AWS misbehaves from now on, or no longer.
    pub(crate) fn trouble_aws(&self, fault: Option<Fault>) {
        lock(&self.state).fault = fault;
        let note = match fault {
            Some(fault) => format!("AWS misbehaves: {}", fault.name()),
            None => "AWS behaves again".to_owned(),
        };
        self.happened(None, Happening::Noted { note });
    }

    /// Tells an instance that `action` comes in `notice`. An Auto Scaling group's hook waits for that long at a time.
    pub fn give_notice(&self, seat: &Seat, action: Action, notice: Duration) {
        let in_traffic = self.in_traffic(seat);
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let given = self.clock.since_start(now);
        let mut state = lock(&self.state);
        let lag = Duration::from_millis(state.rng.u64(..2000));
        if let Some(imds) = state.imds.get_mut(&seat.number) {
            plan(&mut imds.notices, action, wall, wall + notice);
        }
        if action == Action::AutoScaling {
            state.scaling.terminate(now, &seat.instance_id, lag, notice);
        }
        // Nobody reads a shutdown: it is done to the agent.
        let read = (action == Action::Shutdown).then_some(given);
        state.notices.push(NoticeRecord {
            instance: seat.number,
            action,
            given,
            read,
            withdrawn: None,
            taken_away: None,
            in_traffic,
            left_behind: Vec::new(),
        });
        drop(state);
        let notice = match action {
            Action::Terminate | Action::Stop => format!("Spot will {action} it in {} s", notice.as_secs_f64()),
            Action::Hibernate => "Spot hibernates it: it may freeze at any moment from now on".to_owned(),
            Action::Rebalance => "rebalance recommendation".to_owned(),
            Action::Scheduled => format!("a scheduled event stops it in {} s", notice.as_secs_f64()),
            Action::AutoScaling => {
                format!("its Auto Scaling group terminates it; the hook waits {} s at a time", notice.as_secs_f64())
            }
            Action::Shutdown => format!("the operating system shuts down, in {} s at most", notice.as_secs_f64()),
            Action::Elastigroup => {
                format!("Elastigroup detaches it, and holds it for {} s at most", notice.as_secs_f64())
            }
        };
        self.happened(Some(seat.number), Happening::NoticeGiven { notice });
    }

    /// Takes every notice of this instance back.
    pub fn withdraw_notices(&self, seat: &Seat) {
        let at = self.clock.elapsed();
        let mut state = lock(&self.state);
        if let Some(imds) = state.imds.get_mut(&seat.number) {
            imds.notices = Notices::default();
        }
        for record in state.notices.iter_mut().filter(|record| record.instance == seat.number) {
            record.withdrawn.get_or_insert(at);
        }
        drop(state);
        self.happened(Some(seat.number), Happening::NoticeWithdrawn);
    }

    /// Every notice that was given.
    pub fn notices(&self) -> Vec<NoticeRecord> {
        lock(&self.state).notices.clone()
    }

    /// Whether the instance's Auto Scaling group has stopped waiting for it, and why.
    pub fn scaling_proceeds(&self, seat: &Seat) -> Option<Proceeds> {
        let now = self.clock.now();
        lock(&self.state).scaling.proceeds(now, &seat.instance_id)
    }

    /// The instance is gone: its registrations are good for nothing, which the data plane hears a moment later.
    pub fn take_away(&self, seat: &Seat) {
        let registered = self.target_health(seat).into_iter().filter(|(_, _, health)| health.state != "draining");
        let left_behind: Vec<_> = registered.map(|(group, _, _)| group).collect();
        let now = self.clock.now();
        let at = self.clock.since_start(now);
        let mut state = lock(&self.state);
        let lag = Duration::from_millis(state.rng.u64(100..3000));
        state.balancing.instances.remove(&seat.instance_id);
        for group in &mut state.balancing.groups {
            group.instance_gone(now, &seat.instance_id, lag);
        }
        for record in state.notices.iter_mut().filter(|record| record.instance == seat.number) {
            record.taken_away.get_or_insert(at);
            record.left_behind.clone_from(&left_behind);
        }
        drop(state);
        self.happened(Some(seat.number), Happening::TakenAway);
    }

    /// The metadata service of an instance is in trouble from now on, for `lasts`.
    pub fn trouble_metadata(&self, seat: &Seat, fault: MetadataFault, lasts: Duration) {
        let from = self.clock.now();
        let since_start = |at: Instant| self.clock.since_start(at);
        let trouble = Trouble { fault, from, until: from + lasts };
        let told = MetadataTrouble {
            instance: seat.number,
            fault,
            from: since_start(trouble.from),
            until: since_start(trouble.until),
        };
        let mut state = lock(&self.state);
        if let Some(imds) = state.imds.get_mut(&seat.number) {
            imds.trouble(trouble);
        }
        state.troubles.push(told);
        drop(state);
        let what = Happening::MetadataInTrouble { fault, seconds: lasts.as_secs() };
        self.happened(Some(seat.number), what);
    }

    /// Every trouble of a metadata service.
    pub(crate) fn metadata_troubles(&self) -> Vec<MetadataTrouble> {
        lock(&self.state).troubles.clone()
    }

    /// The keys of an instance's tags.
    pub fn tag_keys(&self, seat: &Seat) -> Vec<String> {
        let state = lock(&self.state);
        state.imds.get(&seat.number).map(|imds| imds.tags.keys().cloned().collect()).unwrap_or_default()
    }

    /// Waits until this instance has called `action` of AWS once more.
    pub async fn called(&self, seat: &Seat, action: &str) {
        let mut turns = lock(&self.state).turn.subscribe();
        let mut seen = lock(&self.state).calls.len();
        loop {
            // The world itself holds the sender: it does not close while it is asked.
            if turns.changed().await.is_err() {
                return;
            }
            let state = lock(&self.state);
            let new = &state.calls[seen..];
            let ours = super::calls::Caller::Instance(seat.number);
            if new.iter().any(|call| call.caller == ours && call.action == action) {
                return;
            }
            seen = state.calls.len();
        }
    }
}

impl super::State {
    /// An answer of the metadata service left for the instance; notes which notice it told for the first time.
    pub(super) fn told(&mut self, number: u8, path: &str, at: Duration) -> Option<Action> {
        let path = path.strip_prefix("/latest/")?;
        let unread = |record: &&mut NoticeRecord| {
            record.instance == number
                && record.read.is_none()
                && record.withdrawn.is_none()
                && record.action.path() == Some(path)
        };
        let record = self.notices.iter_mut().find(unread)?;
        record.read = Some(at);
        Some(record.action)
    }
}

fn plan(notices: &mut Notices, action: Action, wall: SystemTime, ends: SystemTime) {
    let spot = |word: &str| Some(json!({ "action": word, "time": rfc3339(ends) }));
    match action {
        Action::Terminate | Action::Stop | Action::Hibernate => notices.instance_action = spot(action.name()),
        Action::Rebalance => notices.rebalance = Some(json!({ "noticeTime": rfc3339(wall) })),
        Action::Scheduled => notices.scheduled.push(scheduled_event(ends)),
        Action::AutoScaling => notices.target_lifecycle_state = Some("Terminated".to_owned()),
        Action::Shutdown | Action::Elastigroup => {}
    }
}

fn scheduled_event(not_before: SystemTime) -> Value {
    json!({
        "Code": "instance-stop",
        "Description": "The instance is running on degraded hardware",
        "EventId": "instance-event-0d59937288b749b32",
        "NotAfter": "",
        "NotBefore": written_out(not_before),
        "State": "active",
    })
}

/// `2 Jan 2019 09:00:43 GMT`, as scheduled events write their times.
fn written_out(time: SystemTime) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = rfc3339(time);
    let (date, clock) = text.trim_end_matches('Z').split_once('T').unwrap_or_default();
    let mut numbers = date.split('-').map(|number| number.parse::<usize>().unwrap_or_default());
    let (year, month, day) = (numbers.next(), numbers.next(), numbers.next());
    let month = month.and_then(|month| MONTHS.get(month.checked_sub(1)?)).copied().unwrap_or_default();
    format!("{} {month} {} {clock} GMT", day.unwrap_or_default(), year.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheduled_time_is_written_without_a_zero_before_the_day() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_546_419_643);
        assert_eq!(written_out(time), "2 Jan 2019 09:00:43 GMT");
    }
}
