//! When an instance was out of service, and which part of it was drain, restart and return.

use std::time::Duration;

use serde::Serialize;

use crate::seat::Seat;
use crate::timeline::{Entry, Happening};

/// One time out of service of one instance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Absence {
    /// The instance.
    pub instance: u8,
    /// When it was deregistered, or stopped without having been.
    #[serde(serialize_with = "crate::world::seconds")]
    pub from: Duration,
    /// When it was healthy in the balancer again; absent when it never was.
    #[serde(serialize_with = "crate::world::optional_seconds")]
    pub until: Option<Duration>,
    /// From deregistration until its application stopped.
    #[serde(serialize_with = "crate::world::optional_seconds")]
    pub drain: Option<Duration>,
    /// From the stop until the application answered again: the deployment's own work.
    #[serde(serialize_with = "crate::world::optional_seconds")]
    pub restart: Option<Duration>,
    /// From then until the balancer found it healthy.
    #[serde(serialize_with = "crate::world::optional_seconds")]
    pub back: Option<Duration>,
}

impl Absence {
    /// How long it lasted; `None` when it did not end.
    pub fn total(&self) -> Option<Duration> {
        self.until.map(|until| until.saturating_sub(self.from))
    }
}

/// The absences of every instance that is deployed to, in order.
pub(super) fn absences(seats: &[Seat], timeline: &[Entry]) -> Vec<Absence> {
    seats.iter().filter(|seat| seat.deployed_to).flat_map(|seat| of_instance(seat.number, timeline)).collect()
}

/// An absence that has not ended yet.
struct Open {
    from: Duration,
    stopped: Option<Duration>,
    answered: Option<Duration>,
}

fn of_instance(instance: u8, timeline: &[Entry]) -> Vec<Absence> {
    let mut absences = Vec::new();
    let mut open: Option<Open> = None;
    for entry in timeline.iter().filter(|entry| entry.instance == Some(instance)) {
        match &entry.what {
            Happening::TargetDeregistered { .. } => {
                open.get_or_insert(Open { from: entry.at, stopped: None, answered: None });
            }
            Happening::ApplicationStopped { .. } => {
                let open = open.get_or_insert(Open { from: entry.at, stopped: None, answered: None });
                open.stopped.get_or_insert(entry.at);
                open.answered = None;
            }
            Happening::ApplicationReady { .. } => {
                if let Some(open) = &mut open {
                    open.answered = Some(entry.at);
                }
            }
            Happening::TargetHealthy { .. } => {
                if let Some(open) = open.take() {
                    absences.push(close(instance, &open, Some(entry.at)));
                }
            }
            _ => {}
        }
    }
    // One that never left the balancer's healthy targets was back as soon as it answered.
    if let Some(open) = open {
        let still_registered = !timeline.iter().any(|entry| {
            entry.instance == Some(instance)
                && entry.at >= open.from
                && matches!(entry.what, Happening::TargetDeregistered { .. } | Happening::TargetUnhealthy { .. })
        });
        let until = if still_registered { open.answered } else { None };
        absences.push(close(instance, &open, until));
    }
    absences
}

fn close(instance: u8, open: &Open, until: Option<Duration>) -> Absence {
    let between = |from: Option<Duration>, to: Option<Duration>| Some(to?.saturating_sub(from?));
    Absence {
        instance,
        from: open.from,
        until,
        drain: between(Some(open.from), open.stopped),
        restart: between(open.stopped, open.answered),
        back: between(open.answered.or(Some(open.from)), until),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::targets::TargetId;

    fn entry(at: u64, what: Happening) -> Entry {
        Entry { at: Duration::from_secs(at), instance: Some(1), what }
    }

    fn target() -> (String, TargetId) {
        ("web".to_owned(), TargetId { id: "i-1".to_owned(), port: 8080 })
    }

    #[test]
    fn an_absence_is_split_into_drain_restart_and_return() {
        let (group, target) = target();
        let by = "agent".to_owned();
        let timeline = [
            entry(3, Happening::TargetDeregistered { group: group.clone(), target: target.clone(), by }),
            entry(10, Happening::ApplicationStopped { in_traffic: vec![] }),
            entry(14, Happening::ApplicationReady { version: "v2".to_owned() }),
            entry(19, Happening::TargetHealthy { group, target }),
        ];
        let absences = of_instance(1, &timeline);
        assert_eq!(absences.len(), 1);
        let seconds = |duration: Option<Duration>| duration.map(|duration| duration.as_secs());
        let absence = &absences[0];
        assert_eq!(
            [absence.drain, absence.restart, absence.back, absence.total()].map(seconds),
            [Some(7), Some(4), Some(5), Some(16)]
        );
    }

    #[test]
    fn an_instance_that_never_comes_back_has_no_end() {
        let (group, target) = target();
        let by = "agent".to_owned();
        let timeline = [entry(3, Happening::TargetDeregistered { group, target, by })];
        assert_eq!(of_instance(1, &timeline)[0].total(), None);
    }
}
