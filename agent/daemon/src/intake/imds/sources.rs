//! The paths where IMDS says what will become of the instance, and what their answers mean.

use std::sync::Arc;

use pitcrew_core::notice::{Notice, NoticeKind};
use pitcrew_core::time::WallTime;
use serde::Deserialize;
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};
use tracing::warn;

use super::Trouble;
use crate::config::{Lead, Scheduled};
use crate::doors::Clock;

/// A path that is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Spot,
    Rebalance,
    AutoScaling,
    Scheduled,
    /// The tag by which Elastigroup marks an on-demand instance that it detached, where tags stand in the metadata.
    Elastigroup,
}

impl Source {
    /// What is polled on every instance.
    pub(super) const ALL: [Source; 4] = [Source::Spot, Source::Rebalance, Source::AutoScaling, Source::Scheduled];

    /// Below `/latest/`.
    pub(super) fn path(self) -> &'static str {
        match self {
            Source::Spot => "meta-data/spot/instance-action",
            Source::Rebalance => "meta-data/events/recommendations/rebalance",
            Source::AutoScaling => "meta-data/autoscaling/target-lifecycle-state",
            Source::Scheduled => "meta-data/events/maintenance/scheduled",
            Source::Elastigroup => "meta-data/tags/instance/spotinst:aws:ec2:state",
        }
    }

    /// Whether the poll of this number asks here. The first asks everywhere; then the interruption is asked for each time,
    /// and what comes minutes or days ahead now and then, one of it at a time: about every five, ten and thirty seconds,
    /// where `turn` polls take five.
    pub(super) fn is_due(self, poll: u64, turn: u64) -> bool {
        let place = match self {
            Source::Spot => return true,
            Source::AutoScaling => (turn, 0),
            Source::Rebalance => (2 * turn, turn / 2),
            Source::Scheduled => (6 * turn, turn - 1),
            Source::Elastigroup => (6 * turn, turn.saturating_sub(2)),
        };
        let (every, offset) = place;
        poll == 0 || poll % every == offset
    }

    /// Whether notices of this kind come from here.
    pub(super) fn tells(self, kind: NoticeKind) -> bool {
        match kind {
            NoticeKind::SpotTerminate | NoticeKind::SpotStop | NoticeKind::SpotHibernate => self == Source::Spot,
            NoticeKind::Rebalance => self == Source::Rebalance,
            NoticeKind::AutoScaling => self == Source::AutoScaling,
            NoticeKind::Scheduled => self == Source::Scheduled,
            // A detach is told in more than one way, and never taken back.
            NoticeKind::Elastigroup | NoticeKind::Shutdown | NoticeKind::Operator => false,
        }
    }

    /// The notices that stand, as an answer gives them; `None` is a 404, which says that there are none.
    pub(super) fn read(self, answer: Option<&[u8]>, calendar: &Calendar) -> Result<Vec<Notice>, Trouble> {
        let Some(answer) = answer else {
            return Ok(Vec::new());
        };
        match self {
            Source::Spot => self.parse(answer).map(spot),
            Source::Rebalance => self.parse(answer).map(rebalance),
            Source::AutoScaling => Ok(auto_scaling(answer)),
            Source::Scheduled => self.parse(answer).map(|events| scheduled(events, calendar)),
            Source::Elastigroup => Ok(elastigroup(answer)),
        }
    }

    fn parse<'a, T: Deserialize<'a>>(self, answer: &'a [u8]) -> Result<T, Trouble> {
        serde_json::from_slice(answer)
            .map_err(|error| Trouble::Unreadable { path: self.path(), why: error.to_string() })
    }
}

#[derive(Deserialize)]
struct InstanceAction {
    action: String,
    /// Whatever it is: an interruption whose time cannot be read is an interruption.
    #[serde(default)]
    time: Value,
}

fn spot(said: InstanceAction) -> Vec<Notice> {
    let kind = match said.action.as_str() {
        "terminate" => NoticeKind::SpotTerminate,
        "stop" => NoticeKind::SpotStop,
        "hibernate" => NoticeKind::SpotHibernate,
        // Whatever EC2 will think of, the instance is taken away by it.
        other => {
            warn!(action = other, "unknown Spot instance action; taken for terminate");
            NoticeKind::SpotTerminate
        }
    };
    vec![Notice { kind, time: moment(&said.time) }]
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recommendation {
    notice_time: Value,
}

fn rebalance(said: Recommendation) -> Vec<Notice> {
    vec![Notice { kind: NoticeKind::Rebalance, time: moment(&said.notice_time) }]
}

/// The state that the group wants for this instance. Of them, only these two end its serving for good; a state of a warm
/// pool may lie before its first.
fn auto_scaling(said: &[u8]) -> Vec<Notice> {
    match said.trim_ascii() {
        b"Terminated" | b"Warmed:Terminated" => vec![Notice { kind: NoticeKind::AutoScaling, time: None }],
        _ => Vec::new(),
    }
}

fn elastigroup(said: &[u8]) -> Vec<Notice> {
    match said.trim_ascii() {
        b"detached" => vec![Notice { kind: NoticeKind::Elastigroup, time: None }],
        _ => Vec::new(),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ScheduledEvent {
    #[serde(default)]
    not_before: Value,
    state: Option<String>,
    #[serde(default)]
    code: String,
}

/// Says which scheduled events are near. They are known days ahead, and the instance serves until shortly before.
#[derive(Clone)]
pub struct Calendar {
    /// What day it is.
    pub clock: Arc<dyn Clock>,
    /// How long before each kind of event.
    pub scheduled: Scheduled,
}

impl Calendar {
    fn is_near(&self, code: &str, begins: WallTime) -> bool {
        let now = self.clock.now();
        let ahead = match self.scheduled.lead(code) {
            Lead::Ahead(lead) => begins.remaining(now.wall) <= lead,
            Lead::Ignore => false,
        };
        // An event that reboots stands in the list for a while after it.
        let reboots = code == "instance-reboot" || code == "system-reboot";
        let booted = WallTime(now.wall.0.saturating_sub(now.at.0));
        ahead && !(reboots && begins < booted)
    }
}

/// An event whose time cannot be read is not acted on: it may be weeks away, and leaving is for good.
fn scheduled(said: Vec<ScheduledEvent>, calendar: &Calendar) -> Vec<Notice> {
    said.iter()
        .filter(|event| event.state.as_deref().is_none_or(|state| state == "active"))
        .filter_map(|event| Some((event, moment(&event.not_before)?)))
        .filter(|(event, begins)| calendar.is_near(&event.code, *begins))
        .map(|(_, begins)| Notice { kind: NoticeKind::Scheduled, time: Some(begins) })
        .collect()
}

/// Both forms in which IMDS writes a time; `None` where it is neither.
fn moment(value: &Value) -> Option<WallTime> {
    let text = value.as_str()?;
    let scheduled = format_description!("[day padding:none] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| PrimitiveDateTime::parse(text, scheduled).map(PrimitiveDateTime::assume_utc));
    match time {
        // Before 1970 is as long past as 1970.
        Ok(time) => Some(WallTime(u64::try_from(time.unix_timestamp()).unwrap_or(0) * 1000)),
        Err(_) => {
            warn!(time = text, "IMDS gave a time that cannot be read");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use pitcrew_core::time::{Instant, Now};

    use super::*;

    /// Shows one time for ever.
    struct Stopped(Now);

    impl Clock for Stopped {
        fn now(&self) -> Now {
            self.0
        }
    }

    /// 2 Jan 2019 09:06:40 GMT, an hour after boot.
    fn calendar(scheduled: Scheduled) -> Calendar {
        let now = Now { at: Instant(3_600_000), wall: WallTime(1_546_420_000_000) };
        Calendar { clock: Arc::new(Stopped(now)), scheduled }
    }

    fn read(source: Source, answer: &str) -> Vec<(NoticeKind, Option<u64>)> {
        read_by(&calendar(Scheduled::default()), source, answer)
    }

    fn read_by(calendar: &Calendar, source: Source, answer: &str) -> Vec<(NoticeKind, Option<u64>)> {
        let notices = source.read(Some(answer.as_bytes()), calendar).unwrap();
        let pairs = notices.iter().map(|notice| (notice.kind, notice.time.map(|time| time.0)));
        pairs.collect()
    }

    #[test]
    fn interruptions_are_read_with_or_without_a_time_that_makes_sense() {
        let at = Some(1_505_722_920_000);
        let table = [
            (r#"{"action":"terminate","time":"2017-09-18T08:22:00Z"}"#, NoticeKind::SpotTerminate, at),
            (r#"{"time":"2017-09-18T10:22:00+02:00","action":"stop"}"#, NoticeKind::SpotStop, at),
            (r#"{"action":"hibernate","time":"2017-09-18T08:22:00Z"}"#, NoticeKind::SpotHibernate, at),
            (r#"{"action":"terminate","time":"soon"}"#, NoticeKind::SpotTerminate, None),
            (r#"{"action":"stop","time":17}"#, NoticeKind::SpotStop, None),
            (r#"{"action":"stop"}"#, NoticeKind::SpotStop, None),
            (r#"{"action":"melt","time":"2017-09-18T08:22:00Z"}"#, NoticeKind::SpotTerminate, at),
        ];
        for (answer, kind, time) in table {
            assert_eq!(read(Source::Spot, answer), [(kind, time)], "{answer}");
        }
    }

    #[test]
    fn a_page_that_is_no_notice_is_trouble_and_not_silence() {
        let calendar = calendar(Scheduled::default());
        for answer in ["<html>hello</html>", "{}", "[]", "null", "{\"action\":3}"] {
            let read = Source::Spot.read(Some(answer.as_bytes()), &calendar);
            assert!(matches!(read, Err(Trouble::Unreadable { .. })), "{answer}");
        }
        assert!(Source::Rebalance.read(Some(b"{}"), &calendar).is_err());
        assert_eq!(Source::Spot.read(None, &calendar).unwrap(), []);
    }

    #[test]
    fn a_recommendation_is_read() {
        let answer = r#"{"noticeTime":"2020-10-27T08:22:00Z"}"#;
        let expected = [(NoticeKind::Rebalance, Some(1_603_786_920_000))];
        assert_eq!(read(Source::Rebalance, answer), expected);
    }

    #[test]
    fn only_a_group_that_wants_the_instance_gone_is_heard() {
        for state in ["InService", "Standby", "Detached", "Warmed:Stopped", "Warmed:Running\n"] {
            assert_eq!(read(Source::AutoScaling, state), [], "{state}");
        }
        for state in ["Terminated", "Terminated\n", "Warmed:Terminated"] {
            assert_eq!(read(Source::AutoScaling, state), [(NoticeKind::AutoScaling, None)], "{state}");
        }
    }

    #[test]
    fn an_instance_that_is_tagged_as_detached_is_one() {
        assert_eq!(read(Source::Elastigroup, "detached\n"), [(NoticeKind::Elastigroup, None)]);
        for state in ["active", "", "<html>"] {
            assert_eq!(read(Source::Elastigroup, state), [], "{state}");
        }
    }

    #[test]
    fn scheduled_events_count_while_they_are_active_and_near() {
        let event = |not_before: &str, code: &str, state: &str| {
            format!(
                r#"[{{"NotBefore":"{not_before}","NotAfter":"","Code":"{code}","EventId":"e-1","State":"{state}"}}]"#
            )
        };
        let table = [
            ("2 Jan 2019 09:11:40 GMT", "instance-stop", "active", true),
            ("2 Jan 2019 09:11:41 GMT", "instance-stop", "active", false),
            ("2 Jan 2019 09:11:40 GMT", "instance-stop", "canceled", false),
            ("21 Jan 2019 09:00:43 GMT", "system-reboot", "active", false),
            ("2 Jan 2019 09:00:00 GMT", "instance-retirement", "active", true),
            // What rebooted this instance does not end it again.
            ("2 Jan 2019 08:06:39 GMT", "instance-reboot", "active", false),
            ("2 Jan 2019 08:06:39 GMT", "instance-stop", "active", true),
            ("2 Jan 2019 08:06:41 GMT", "instance-reboot", "active", true),
            ("soon", "instance-stop", "active", false),
            ("2 Jan 2019 09:11:40 GMT", "", "active", true),
        ];
        for (not_before, code, state, noticed) in table {
            let seen = read(Source::Scheduled, &event(not_before, code, state));
            assert_eq!(seen.len(), usize::from(noticed), "{code} {not_before} {state}");
        }
        assert_eq!(
            read(Source::Scheduled, &event("2 Jan 2019 09:11:40 GMT", "instance-stop", "active")),
            [(NoticeKind::Scheduled, Some(1_546_420_300_000))]
        );
        assert_eq!(read(Source::Scheduled, "[]"), []);
    }

    #[test]
    fn each_code_has_its_own_lead() {
        let text = r#"leave.scheduled = { lead = "10m", instance-stop = "ignore", system-reboot = "1m" }"#;
        let settings = crate::config::read(&[(std::path::Path::new("a.toml"), text)]).unwrap().into_settings();
        let calendar = calendar(settings.leave.scheduled);
        let near = |code, minutes: u64| {
            let begins = WallTime(calendar.clock.now().wall.0 + minutes * 60_000);
            calendar.is_near(code, begins)
        };
        assert!(near("instance-retirement", 10) && !near("instance-retirement", 11));
        assert!(near("system-reboot", 1) && !near("system-reboot", 2));
        assert!(!near("instance-stop", 0));
    }

    #[test]
    fn a_minute_of_polls_asks_for_little_beside_the_interruption() {
        let asked = |source: Source, polls: std::ops::Range<u64>| polls.filter(|poll| source.is_due(*poll, 5)).count();
        assert_eq!(Source::ALL.map(|source| asked(source, 0..1)), [1, 1, 1, 1]);
        assert_eq!(Source::ALL.map(|source| asked(source, 60..120)), [60, 6, 12, 2]);
        assert_eq!(asked(Source::Elastigroup, 60..120), 2);
        let at_once =
            |poll| Source::ALL.iter().chain([&Source::Elastigroup]).filter(|source| source.is_due(poll, 5)).count();
        assert_eq!((1..300).map(at_once).max(), Some(2), "never two beside the interruption");
        // Polls that are seconds apart themselves ask everywhere as often as they can.
        assert_eq!(Source::ALL.map(|source| (60..72).filter(|poll| source.is_due(*poll, 1)).count()), [12, 6, 12, 2]);
    }
}
