//! Whether the application here is well: probes with hysteresis.

use std::collections::BTreeMap;

use crate::ids::ProbeName;
use crate::settings::Thresholds;
use crate::time::Instant;

/// All probes and what they last said.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    probes: BTreeMap<ProbeName, Probe>,
    /// When the first question could be asked.
    began: Instant,
}

/// One probe's standing.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    thresholds: Thresholds,
    /// `None` until the first answer.
    pub(crate) passing: Option<bool>,
    /// Answers in a row that contradict `passing`.
    against: u32,
    /// When the latest answer came.
    pub(crate) answered: Option<Instant>,
    /// Why the latest bad answer was bad.
    pub(crate) reason: Option<String>,
}

impl Health {
    pub(crate) fn new(probes: &BTreeMap<ProbeName, Thresholds>, now: Instant) -> Self {
        let probes = probes.iter().map(|(name, thresholds)| (name.clone(), Probe::new(*thresholds))).collect();
        Self { probes, began: now }
    }

    /// Takes a probe's answer in; an answer of a probe that the settings do not name is passed over.
    pub(crate) fn answered(&mut self, name: &ProbeName, answer: Result<(), String>, at: Instant) {
        if let Some(probe) = self.probes.get_mut(name) {
            let within_grace = at < self.began.after(probe.thresholds.grace);
            probe.take(answer, at, within_grace);
        }
    }

    /// Every probe that decides passes. Without probes there is nothing to object.
    pub(crate) fn is_healthy(&self) -> bool {
        self.deciding().all(|(_, probe)| probe.passing == Some(true))
    }

    /// The probes that decide; the others are only shown.
    pub(crate) fn deciding(&self) -> impl Iterator<Item = (&ProbeName, &Probe)> {
        self.probes.iter().filter(|(_, probe)| !probe.thresholds.advisory)
    }

    /// Every probe passes, and has answered well after `instant`: says nothing about an application that was
    /// replaced in between unless it was asked since.
    pub(crate) fn is_healthy_since(&self, instant: Instant) -> bool {
        self.is_healthy()
            && self.deciding().all(|(_, probe)| probe.answered.is_some_and(|at| at > instant) && probe.against == 0)
    }

    /// Why not, in words; the first probe that does not pass.
    pub(crate) fn complaint(&self) -> Option<String> {
        let (name, probe) = self.deciding().find(|(_, probe)| probe.passing != Some(true))?;
        Some(probe.complaint(name))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ProbeName, &Probe)> {
        self.probes.iter()
    }
}

impl Probe {
    fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, passing: None, against: 0, answered: None, reason: None }
    }

    /// Why it does not pass, in words.
    pub(crate) fn complaint(&self, name: &ProbeName) -> String {
        match (&self.reason, self.passing) {
            (Some(reason), _) => format!("probe `{name}`: {reason}"),
            (None, None) => format!("probe `{name}` has not answered yet"),
            (None, Some(_)) => format!("probe `{name}` passes, but not often enough yet"),
        }
    }

    pub(crate) fn is_advisory(&self) -> bool {
        self.thresholds.advisory
    }

    fn take(&mut self, answer: Result<(), String>, at: Instant, within_grace: bool) {
        let good = answer.is_ok();
        self.answered = Some(at);
        self.reason = answer.err();
        match self.passing {
            // What is only starting is not failing yet.
            None if !good && within_grace => {}
            None => self.passing = Some(good),
            Some(passing) if passing == good => self.against = 0,
            Some(passing) => {
                self.against += 1;
                let needed = if passing { self.thresholds.unhealthy } else { self.thresholds.healthy };
                if self.against >= needed {
                    self.passing = Some(good);
                    self.against = 0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn health() -> Health {
        Health::new(
            &BTreeMap::from([("app".into(), Thresholds { healthy: 2, unhealthy: 3, ..Thresholds::default() })]),
            Instant(0),
        )
    }

    fn play(health: &mut Health, answers: &str) -> Vec<bool> {
        answers
            .chars()
            .enumerate()
            .map(|(n, c)| {
                let answer = if c == '+' { Ok(()) } else { Err("connection refused".to_owned()) };
                health.answered(&"app".into(), answer, Instant(n as u64 + 1));
                health.is_healthy()
            })
            .collect()
    }

    #[test]
    fn the_first_answer_decides_and_later_ones_need_their_threshold() {
        let table = [
            ("+", vec![true]),
            ("-", vec![false]),
            ("+--", vec![true, true, true]),
            ("+---", vec![true, true, true, false]),
            ("+--+--", vec![true; 6]),
            ("-+", vec![false, false]),
            ("-++", vec![false, false, true]),
            ("-+-+", vec![false; 4]),
        ];
        for (answers, expected) in table {
            assert_eq!(play(&mut health(), answers), expected, "{answers}");
        }
    }

    #[test]
    fn nothing_is_said_of_an_application_that_was_not_asked_since() {
        let mut health = health();
        assert!(!health.is_healthy(), "not asked yet");
        play(&mut health, "++");
        assert!(health.is_healthy_since(Instant(1)));
        assert!(!health.is_healthy_since(Instant(2)));
        health.answered(&"app".into(), Err("status 500".into()), Instant(3));
        assert!(
            health.is_healthy() && !health.is_healthy_since(Instant(2)),
            "one bad answer is no verdict, but no proof"
        );
    }

    #[test]
    fn bad_answers_within_the_grace_leave_a_probe_undecided() {
        let grace = Duration::from_secs(30);
        let thresholds = Thresholds { grace, ..Thresholds::default() };
        let mut health = Health::new(&BTreeMap::from([("app".into(), thresholds)]), Instant(1_000));
        let passing = |health: &Health| health.iter().next().and_then(|(_, probe)| probe.passing);
        health.answered(&"app".into(), Err("connection refused".into()), Instant(30_999));
        assert_eq!(passing(&health), None);
        assert_eq!(health.complaint().as_deref(), Some("probe `app`: connection refused"));
        health.answered(&"app".into(), Err("connection refused".into()), Instant(31_000));
        assert_eq!(passing(&health), Some(false), "the grace is over");
    }

    #[test]
    fn a_good_answer_ends_the_grace() {
        let thresholds = Thresholds { grace: Duration::from_secs(30), unhealthy: 1, ..Thresholds::default() };
        let mut health = Health::new(&BTreeMap::from([("app".into(), thresholds)]), Instant(0));
        health.answered(&"app".into(), Ok(()), Instant(1));
        health.answered(&"app".into(), Err("gone".into()), Instant(2));
        assert!(!health.is_healthy());
    }

    #[test]
    fn an_advisory_probe_is_shown_and_decides_nothing() {
        let advisory = Thresholds { advisory: true, ..Thresholds::default() };
        let probes = BTreeMap::from([("app".into(), Thresholds::default()), ("disk".into(), advisory)]);
        let mut health = Health::new(&probes, Instant(0));
        health.answered(&"app".into(), Ok(()), Instant(1));
        health.answered(&"disk".into(), Err("2 % free".into()), Instant(1));
        assert!(health.is_healthy_since(Instant(0)) && health.complaint().is_none());
        assert_eq!(health.iter().count(), 2);
    }

    #[test]
    fn without_probes_nothing_objects() {
        assert!(Health::new(&BTreeMap::new(), Instant(0)).is_healthy_since(Instant(9)));
    }
}
