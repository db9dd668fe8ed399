//! Commands that CodeDeploy's host agent carries out: its `ongoing-deployment` directory, as a deployment's sign of life.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::DeploymentId;
use crate::time::{Instant, millis};

/// No lifecycle event lasts longer: an older tracking file was left behind by a host agent that died.
pub(crate) const LONGEST_EVENT: Duration = Duration::from_secs(3600);

/// What the directory last showed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commands {
    /// Since when it has been watched without a break; `None`: it is not there, or cannot be read.
    watched_since: Option<Instant>,
    /// The deployments of which a command executes, and when it began.
    executing: BTreeMap<DeploymentId, Instant>,
}

impl Commands {
    /// Takes a look at the directory in: how long a command of each deployment has been executing. Returns every
    /// deployment that gave a sign of life: a command of it executes, or has just ended.
    pub(crate) fn seen(
        &mut self,
        executing: Option<BTreeMap<DeploymentId, Duration>>,
        now: Instant,
    ) -> Vec<DeploymentId> {
        let Some(executing) = executing else {
            *self = Self::default();
            return Vec::new();
        };
        self.watched_since.get_or_insert(now);
        let before = std::mem::take(&mut self.executing);
        let began = |age: Duration| Instant(now.0.saturating_sub(millis(age)));
        self.executing = executing.into_iter().map(|(id, age)| (id, began(age))).collect();
        let ended = before.into_keys().filter(|id| !self.executing.contains_key(id));
        let alive = self.executing.iter().filter(|(_, began)| is_fresh(**began, now)).map(|(id, _)| id.clone());
        ended.chain(alive).collect()
    }

    /// Until when a command of this deployment counts as executing, where one does now.
    pub(crate) fn executes_until(&self, deployment: &DeploymentId, now: Instant) -> Option<Instant> {
        let began = *self.executing.get(deployment)?;
        is_fresh(began, now).then(|| began.after(LONGEST_EVENT))
    }

    /// How long nobody has spoken of a deployment that was `heard` of then, where the directory would have shown it.
    pub(crate) fn silent_for(&self, heard: Instant, now: Instant) -> Option<Duration> {
        self.watched_since.map(|since| now.since(since.max(heard)))
    }
}

fn is_fresh(began: Instant, now: Instant) -> bool {
    now < began.after(LONGEST_EVENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(minutes: u64) -> Instant {
        Instant(0).after(Duration::from_secs(minutes * 60))
    }

    fn shown(ids: &[(&str, Duration)]) -> Option<BTreeMap<DeploymentId, Duration>> {
        Some(ids.iter().map(|(id, age)| ((*id).into(), *age)).collect())
    }

    #[test]
    fn a_command_is_a_sign_of_life_while_it_executes_and_as_it_ends() {
        let mut commands = Commands::default();
        assert_eq!(commands.seen(shown(&[("d-1", Duration::ZERO)]), at(100)), ["d-1".into()]);
        assert_eq!(commands.executes_until(&"d-1".into(), at(110)), Some(at(160)));
        assert_eq!(commands.seen(shown(&[]), at(110)), ["d-1".into()]);
        assert_eq!(commands.executes_until(&"d-1".into(), at(110)), None);
        assert!(commands.seen(shown(&[]), at(111)).is_empty());
    }

    #[test]
    fn a_file_that_was_left_behind_says_nothing() {
        let mut commands = Commands::default();
        assert!(commands.seen(shown(&[("d-1", 61 * MINUTE)]), at(100)).is_empty());
        assert_eq!(commands.executes_until(&"d-1".into(), at(100)), None);
    }

    #[test]
    fn silence_counts_only_while_somebody_watches() {
        let mut commands = Commands::default();
        assert_eq!(commands.silent_for(at(1), at(50)), None, "not watched");
        commands.seen(shown(&[]), at(40));
        assert_eq!(commands.silent_for(at(1), at(50)), Some(10 * MINUTE), "watched for ten minutes");
        assert_eq!(commands.silent_for(at(45), at(50)), Some(5 * MINUTE));
        commands.seen(None, at(51));
        assert_eq!(commands.silent_for(at(45), at(52)), None);
        commands.seen(shown(&[]), at(60));
        assert_eq!(commands.silent_for(at(45), at(62)), Some(2 * MINUTE), "what went on meanwhile nobody knows");
    }
}
