//! Decides what a balancer is told that asks this instance itself. What is known comes in; one answer comes out.
//!
//! Not ready as soon as traffic is to be elsewhere; ready as soon as it is wanted here and the application is well,
//! before any balancer has said so: it is by this answer that a balancer finds out.

use serde::{Deserialize, Serialize};

use crate::core::Core;
use crate::traffic::{Traffic, Why};

/// Whether requests are welcome. By default, as an agent says nothing that does not know of it, they are not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether they are.
    pub ready: bool,
    /// Everything that is to be said about it, what blocks first.
    pub reasons: Vec<Reason>,
}

/// Something to be said about readiness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// For machines.
    pub code: Code,
    /// Whether it alone makes the instance unready.
    pub blocks: bool,
    /// For people.
    pub detail: String,
}

/// The kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The instance is being taken away.
    Leaving,
    /// An operator holds it out of traffic.
    Held,
    /// A deployment holds it out of traffic.
    Deployment,
    /// A probe has not made up its mind yet.
    Starting,
    /// A probe fails.
    Unhealthy,
    /// The metadata service does not answer: a notice may stand there unheard.
    Blind,
    /// The deployment waits until another target of the group is healthy; until then this one serves.
    LastHealthy,
    /// The risk of an interruption is elevated.
    AtRisk,
    /// An advisory probe fails.
    Advisory,
    /// An agent of AWS on this host does not work.
    Agent,
}

impl Code {
    /// The word used in JSON, in metrics and for people.
    pub fn word(self) -> &'static str {
        match self {
            Code::Leaving => "leaving",
            Code::Held => "held",
            Code::Deployment => "deployment",
            Code::Starting => "starting",
            Code::Unhealthy => "unhealthy",
            Code::Blind => "blind",
            Code::LastHealthy => "last-healthy",
            Code::AtRisk => "at-risk",
            Code::Advisory => "advisory",
            Code::Agent => "agent",
        }
    }
}

impl Core {
    /// What a balancer is told that asks this instance itself.
    pub(crate) fn readiness(&self) -> Readiness {
        let mut reasons = Vec::new();
        let mut say = |code, blocks, detail: String| reasons.push(Reason { code, blocks, detail });
        match &self.wanted {
            Traffic::In => {}
            Traffic::Out(Why::Leaving(kind)) => say(Code::Leaving, true, kind.to_string()),
            Traffic::Out(Why::Held) => say(Code::Held, true, "by an operator".to_owned()),
            Traffic::Out(Why::Deploying(ids)) => {
                let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
                // A balancer that is told so finds its last healthy target unhealthy, which is what the wait prevents.
                let spared = self.known_groups().into_iter().find(|group| self.groups.is_spared(group));
                say(Code::Deployment, spared.is_none(), ids.join(", "));
                if let Some(group) = spared {
                    say(Code::LastHealthy, false, format!("no other target of {} is healthy", group.short()));
                }
            }
        }
        for (name, probe) in self.health.iter() {
            match (probe.passing, probe.is_advisory()) {
                (Some(true), _) | (None, true) => {}
                (None, false) => say(Code::Starting, true, probe.complaint(name)),
                (Some(false), false) => say(Code::Unhealthy, true, probe.complaint(name)),
                (Some(false), true) => say(Code::Advisory, false, probe.complaint(name)),
            }
        }
        if let Some((_, why)) = &self.blind {
            say(Code::Blind, self.settings.unready_when_blind, why.clone());
        }
        for trouble in self.host_agents.iter().filter_map(|agent| agent.trouble.clone()) {
            say(Code::Agent, self.settings.unready_without_agents, trouble);
        }
        if let Some(advice) = &self.advice {
            say(Code::AtRisk, false, advice.kind.to_string());
        }
        reasons.sort_by_key(|reason| !reason.blocks);
        Readiness { ready: reasons.iter().all(|reason| !reason.blocks), reasons }
    }
}
