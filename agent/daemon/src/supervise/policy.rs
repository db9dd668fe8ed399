//! Decides which agent is wrong, and when it has been so for too long.

use std::collections::BTreeMap;
use std::time::Duration;

use pitcrew_core::ids::InstanceId;
use pitcrew_core::time::Instant;
use pitcrew_core::wire::HostAgent;

use crate::intake::host_agents::Seen;

/// An agent of AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Agent {
    /// SSM's.
    Ssm,
    /// CodeDeploy's host agent.
    CodeDeploy,
}

impl Agent {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ssm, Self::CodeDeploy];

    /// The word in a request.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ssm => "ssm",
            Self::CodeDeploy => "codedeploy",
        }
    }

    /// The units under which it may run; the first that exists is restarted.
    pub fn units(self) -> &'static [&'static str] {
        match self {
            Self::Ssm => &["amazon-ssm-agent.service", "snap.amazon-ssm-agent.amazon-ssm-agent.service"],
            Self::CodeDeploy => &["codedeploy-agent.service"],
        }
    }
}

/// What is wrong with the agents; one that is not installed is not supervised.
pub fn troubles(seen: &Seen, instance: &InstanceId) -> Vec<(Agent, &'static str)> {
    let mut troubles = Vec::new();
    let ssm = &seen.ssm;
    match (ssm.installed, ssm.running, &ssm.registered_as) {
        (false, _, _) => {}
        (true, Some(false), _) => troubles.push((Agent::Ssm, "the SSM agent does not run")),
        (true, Some(true) | None, Some(known)) if known == instance.as_str() => {}
        (true, Some(true), _) => {
            troubles.push((Agent::Ssm, "the SSM agent runs, but has not registered this instance"));
        }
        (true, None, _) => {}
    }
    if seen.codedeploy.installed && seen.codedeploy.running == Some(false) {
        troubles.push((Agent::CodeDeploy, "the CodeDeploy agent does not run: a deployment would wait for it"));
    }
    troubles
}

/// The agents that are installed, with what `troubles` are known of them.
pub(super) fn installed(seen: &Seen, troubles: &[(Agent, &str)]) -> Vec<HostAgent> {
    let Seen { ssm, codedeploy } = seen;
    let both = [
        (Agent::Ssm, ssm.installed, ssm.running, None),
        (Agent::CodeDeploy, codedeploy.installed, codedeploy.running, codedeploy.version.clone()),
    ];
    let installed = both.into_iter().filter(|(_, installed, ..)| *installed);
    let told = installed.map(|(agent, _, running, version)| {
        let trouble = troubles.iter().find(|(wrong, _)| *wrong == agent).map(|(_, sentence)| (*sentence).to_owned());
        HostAgent { name: agent.word().to_owned(), running, version, trouble }
    });
    told.collect()
}

/// Since when each agent has been wrong, and when it was last restarted.
#[derive(Debug)]
pub struct Patience {
    lasts: Duration,
    wrong_since: BTreeMap<Agent, Instant>,
    restarted: BTreeMap<Agent, Instant>,
}

/// An agent that a restart does not help is not restarted more often.
const AGAIN: Duration = Duration::from_secs(3600);

impl Patience {
    /// Patience that `lasts` so long.
    pub fn new(lasts: Duration) -> Self {
        Self { lasts, wrong_since: BTreeMap::new(), restarted: BTreeMap::new() }
    }

    /// Takes a look in; returns the agent to restart now, if any. `busy`: nobody may be restarted.
    pub fn look(&mut self, now: Instant, troubles: &[(Agent, &str)], busy: bool) -> Option<Agent> {
        self.wrong_since.retain(|agent, _| troubles.iter().any(|(wrong, _)| wrong == agent));
        for (agent, _) in troubles {
            self.wrong_since.entry(*agent).or_insert(now);
        }
        let over = |at: Option<&Instant>, patience| at.is_none_or(|at| now.since(*at) >= patience);
        let stuck = self
            .wrong_since
            .iter()
            .find(|(agent, since)| !busy && now.since(**since) >= self.lasts && over(self.restarted.get(agent), AGAIN));
        let agent = *stuck?.0;
        self.restarted.insert(agent, now);
        Some(agent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::host_agents::{CodeDeploySeen, SsmSeen};

    fn seen(ssm: Option<bool>, registered_as: Option<&str>, codedeploy: Option<bool>) -> Seen {
        let registered_as = registered_as.map(str::to_owned);
        Seen {
            ssm: SsmSeen { installed: true, running: ssm, registered_as, credentials_age: None },
            codedeploy: CodeDeploySeen { installed: true, running: codedeploy, ..CodeDeploySeen::default() },
        }
    }

    fn wrong(seen: &Seen) -> Vec<Agent> {
        troubles(seen, &"i-1".into()).into_iter().map(|(agent, _)| agent).collect()
    }

    #[test]
    fn an_agent_is_wrong_that_does_not_run_or_works_for_somebody_else() {
        let table = [
            (seen(Some(true), Some("i-1"), Some(true)), vec![]),
            (seen(Some(false), Some("i-1"), Some(true)), vec![Agent::Ssm]),
            (seen(Some(true), None, Some(true)), vec![Agent::Ssm]),
            (seen(Some(true), Some("i-image"), Some(true)), vec![Agent::Ssm]),
            (seen(Some(true), Some("i-1"), Some(false)), vec![Agent::CodeDeploy]),
            (seen(Some(false), None, Some(false)), vec![Agent::Ssm, Agent::CodeDeploy]),
            (seen(None, None, None), vec![]),
            (Seen::default(), vec![]),
        ];
        for (seen, expected) in table {
            assert_eq!(wrong(&seen), expected, "{seen:?}");
        }
    }

    #[test]
    fn one_that_stays_wrong_is_restarted_once_an_hour_and_never_during_a_deployment() {
        let at = |minutes: u64| Instant(minutes * 60_000);
        let mut patience = Patience::new(Duration::from_secs(600));
        let down = [(Agent::CodeDeploy, "")];
        assert_eq!(patience.look(at(0), &down, false), None);
        assert_eq!(patience.look(at(9), &down, false), None);
        assert_eq!(patience.look(at(10), &down, true), None, "a deployment is open");
        assert_eq!(patience.look(at(11), &down, false), Some(Agent::CodeDeploy));
        assert_eq!(patience.look(at(12), &down, false), None);
        assert_eq!(patience.look(at(70), &down, false), None);
        assert_eq!(patience.look(at(71), &down, false), Some(Agent::CodeDeploy));
        assert_eq!(patience.look(at(72), &[], false), None);
        assert_eq!(patience.look(at(140), &down, false), None, "wrong anew: patience anew");
    }
}
