//! Supervises the agents of AWS on this host: says when one does not work, and has root restart one that is stuck.
//!
//! The resident agent holds no privilege: it writes a request, and `pitcrew-restart.service` does what it allows.

mod policy;
mod request;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use pitcrew_core::ids::InstanceId;
use pitcrew_core::view::View;
use pitcrew_core::wire::Event;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::{error, warn};

use crate::config::{Agents, Restart};
use crate::doors::Clock;
use crate::intake::host_agents::{HostAgents, Seen};

pub use policy::{Agent, Patience, troubles};
pub use request::{RESTART_REQUEST, serve};

/// What supervision works on.
#[derive(Clone, Debug)]
pub struct Host {
    /// The agents' files.
    pub agents: HostAgents,
    /// Where a request for a restart is put.
    pub request: PathBuf,
}

/// Looks again and again, for as long as it is polled: tells the core what is wrong, and `seen` what was seen.
pub async fn run<I: From<Event>>(
    host: Host,
    (settings, instance): (Agents, InstanceId),
    clock: Arc<dyn Clock>,
    shown: watch::Receiver<Option<Arc<View>>>,
    seen: watch::Sender<Seen>,
    heard: mpsc::Sender<I>,
) -> Infallible {
    let mut patience = Patience::new(settings.stuck_after);
    let mut told = Vec::new();
    loop {
        let look = host.agents.look();
        let wrong = troubles(&look, &instance);
        let agents = policy::installed(&look, &wrong);
        if told != agents {
            told.clone_from(&agents);
            // An engine that is gone needs no news.
            let _ = heard.send(Event::AgentsSeen { agents }.into()).await;
        }
        let busy = shown.borrow().as_ref().is_none_or(|view| is_busy(view));
        let stuck = patience.look(clock.now().at, &wrong, busy);
        if let (Some(agent), Restart::WhenStuck) = (stuck, settings.restart) {
            warn!(agent = agent.word(), "stuck for long: asking for its restart");
            if let Err(failure) = request::put(&host.request, agent) {
                error!("no restart can be asked for: writing `{}`: {failure}", host.request.display());
            }
        }
        seen.send_if_modified(|known| {
            let changed = *known != look;
            *known = look;
            changed
        });
        sleep(settings.look).await;
    }
}

/// A deployment or the instance's end must not lose an agent.
fn is_busy(view: &View) -> bool {
    !view.deployments.is_empty() || !view.notices.is_empty()
}
