//! Reads what Elastigroup's answers hold, wherever its documents say that it may lie.

use std::time::Duration;

use pitcrew_core::elastigroup::Declared;
use pitcrew_core::time::WallTime;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

/// How Elastigroup sees the health of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Healthiness {
    /// `i-…`
    pub instance: String,
    /// `HEALTHY`, `UNHEALTHY`, `INSUFFICIENT_DATA`, `UNKNOWN`, or a newer word.
    pub health: String,
    /// `SPOT` or `ON-DEMAND`.
    pub life_cycle: String,
}

/// `response.items` as a list or as one object, or the same inside `response.status`.
pub(super) fn items(response: &Value) -> Vec<Value> {
    let places = [&response["items"], &response["status"]["items"]];
    match places.into_iter().find(|place| !place.is_null()) {
        Some(Value::Array(items)) => items.clone(),
        Some(item @ Value::Object(_)) => vec![item.clone()],
        Some(_) | None => Vec::new(),
    }
}

/// `strategy.drainingTimeout` and `strategy.signals`, with or without the `group` around them.
pub(super) fn declared(group: &Value) -> Declared {
    let group = if group["group"].is_object() { &group["group"] } else { group };
    let strategy = &group["strategy"];
    let seconds = |value: &Value| value.as_f64().filter(|s| (0.0..=86_400.0).contains(s)).map(Duration::from_secs_f64);
    let signals = strategy["signals"].as_array().map(Vec::as_slice).unwrap_or_default();
    let timeout = |name: &str| {
        let declared = signals.iter().find(|signal| signal["name"] == name)?;
        // Its default is documented as 120 s and as 1800 s: the shorter one is safe.
        Some(seconds(&declared["timeout"]).unwrap_or(Declared::DEFAULT_HOLD))
    };
    Declared {
        draining_timeout: seconds(&strategy["drainingTimeout"]),
        ready_timeout: timeout("INSTANCE_READY"),
        shutdown_timeout: timeout("INSTANCE_READY_TO_SHUTDOWN"),
    }
}

/// The suspended processes by name, each with its end, where it has one.
pub(super) fn suspended(items: &[Value]) -> Vec<(String, Option<WallTime>)> {
    let list = |item: &Value, key: &str| item[key].as_array().cloned().unwrap_or_default();
    let name = |value: &Value| value.as_str().map(str::to_owned);
    let mut all = Vec::new();
    for item in items {
        let suspensions = list(item, "suspensions");
        all.extend(suspensions.iter().filter_map(|one| Some((name(&one["name"])?, time(&one["expiresAt"])))));
        let bare = list(item, "processes").iter().filter_map(name).collect::<Vec<_>>();
        for process in bare {
            if !all.iter().any(|(known, _)| *known == process) {
                all.push((process, None));
            }
        }
    }
    all
}

pub(super) fn healthiness(item: &Value) -> Healthiness {
    let word = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
    Healthiness { instance: word("instanceId"), health: word("healthStatus"), life_cycle: word("lifeCycle") }
}

/// `2018-06-25T11:49:00.000Z` or `2018-10-03T07:23:24.000+0000`, or milliseconds since 1970; `None` where it is neither.
pub(super) fn time(value: &Value) -> Option<WallTime> {
    if let Some(millis) = value.as_u64() {
        return Some(WallTime(millis));
    }
    let text = value.as_str()?;
    let parsed = OffsetDateTime::parse(text, &Rfc3339).ok().or_else(|| {
        let (bare, zone) = text.split_at_checked(text.len().checked_sub(5)?)?;
        let (hours, minutes) = zone.split_at_checked(3)?;
        OffsetDateTime::parse(&format!("{bare}{hours}:{minutes}"), &Rfc3339).ok()
    })?;
    wall(parsed)
}

/// The `Date` header: `Sun, 30 Apr 2023 12:21:14 GMT`.
pub(super) fn http_date(text: &str) -> Option<WallTime> {
    wall(OffsetDateTime::parse(text, &Rfc2822).ok()?)
}

fn wall(time: OffsetDateTime) -> Option<WallTime> {
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok().map(WallTime)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_ways_of_writing_a_time_are_read() {
        let at = Some(WallTime(1_529_927_340_000));
        for text in ["2018-06-25T11:49:00.000Z", "2018-06-25T11:49:00.000+0000", "2018-06-25T13:49:00+02:00"] {
            assert_eq!(time(&json!(text)), at, "{text}");
        }
        for nothing in [json!("soon"), json!(""), json!("é+000"), json!(null), json!({})] {
            assert_eq!(time(&nothing), None, "{nothing}");
        }
        assert_eq!(http_date("Mon, 25 Jun 2018 11:49:00 GMT"), at);
    }

    #[test]
    fn a_group_is_read_with_and_without_its_wrapper() {
        let group = json!({"strategy": {"drainingTimeout": 300, "signals": [
            {"name": "INSTANCE_READY_TO_SHUTDOWN", "timeout": 600}, {"name": "INSTANCE_READY"}]}});
        let read = declared(&group);
        assert_eq!(read, declared(&json!({ "group": group })));
        assert_eq!(read.hold(), Duration::from_secs(600));
        assert_eq!(read.ready_timeout, Some(Duration::from_secs(120)));
        assert_eq!(declared(&json!({"strategy": {"signals": null}})).hold(), Duration::from_secs(120));
    }

    #[test]
    fn suspensions_are_read_with_and_without_an_end() {
        let items = [json!({"groupId": "sig-1", "processes": ["AUTO_HEALING", "SCHEDULING"], "suspensions": [
            {"name": "AUTO_HEALING", "expiresAt": "2018-06-25T11:49:00.000Z"}, {"name": "AUTO_SCALE", "expiresAt": null}]})];
        let expected = [
            ("AUTO_HEALING".to_owned(), Some(WallTime(1_529_927_340_000))),
            ("AUTO_SCALE".to_owned(), None),
            ("SCHEDULING".to_owned(), None),
        ];
        assert_eq!(suspended(&items), expected);
    }
}
