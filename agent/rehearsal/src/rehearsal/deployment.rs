//! CodeDeploy's service side of one deployment: which instance when, which event next, and what a failure means.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Company;
use crate::bundle::Bundle;
use crate::host_agent::Order;
use crate::lifecycle::LifecycleEvent;
use crate::seat::Seat;
use crate::timeline::Happening;
use crate::world::codedeploy::DeploymentGroup;

/// systemd waits this long before it starts a killed agent again (`RestartSec=`).
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// How a deployment is to be disturbed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Disturbance {
    pub(super) kill_agent_at: Option<LifecycleEvent>,
}

/// How a deployment ended.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Ended {
    /// Its id.
    pub deployment: String,
    /// Name of its group.
    pub group: String,
    /// Why it failed; `None` is a success.
    pub failed: Option<String>,
    /// Instances on which every event succeeded.
    pub succeeded_on: Vec<u8>,
    /// Instances on which an event failed.
    pub failed_on: Vec<u8>,
}

/// Plays a deployment, one instance after the other (`CodeDeployDefault.OneAtATime`).
pub(super) async fn roll(
    company: Arc<Company>,
    seats: Vec<Seat>,
    group: DeploymentGroup,
    revision: Arc<Bundle>,
    disturbance: Disturbance,
) -> Ended {
    let world = &company.world;
    let instances: Vec<_> = seats.iter().map(|seat| seat.instance_id.clone()).collect();
    let deployment = world.create_deployment(&group, &revision.revision, &instances);
    world.happened(
        None,
        Happening::DeploymentCreated {
            deployment: deployment.clone(),
            group: group.name.clone(),
            revision: revision.revision.clone(),
        },
    );
    let order = Order { deployment: deployment.clone(), group, revision };
    let mut ended = Ended {
        deployment: deployment.clone(),
        group: order.group.name.clone(),
        failed: None,
        succeeded_on: Vec::new(),
        failed_on: Vec::new(),
    };
    let mut restarts = JoinSet::new();
    for (place, seat) in seats.iter().enumerate() {
        match play(&company, seat, &order, disturbance, &mut restarts).await {
            Ok(()) => ended.succeeded_on.push(seat.number),
            Err(why) => {
                ended.failed_on.push(seat.number);
                // One at a time, the failure of the last of several instances is tolerated.
                if place + 1 < seats.len() || seats.len() == 1 {
                    ended.failed = Some(why);
                    break;
                }
            }
        }
    }
    world.finish_deployment(&deployment, ended.failed.clone());
    world.happened(
        None,
        match ended.failed.clone() {
            None => Happening::DeploymentSucceeded { deployment },
            Some(why) => Happening::DeploymentFailed { deployment, why },
        },
    );
    while restarts.join_next().await.is_some() {}
    ended
}

async fn play(
    company: &Arc<Company>,
    seat: &Seat,
    order: &Order,
    disturbance: Disturbance,
    restarts: &mut JoinSet<()>,
) -> Result<(), String> {
    let host = company.host(seat.number).ok_or("this instance has no host agent")?;
    for event in LifecycleEvent::order(order.group.controls_traffic.is_some()) {
        // The host agent polls every second.
        sleep(Duration::from_millis(200 + company.world.draw(1000))).await;
        if disturbance.kill_agent_at == Some(*event) {
            restarts.spawn(kill_agent(Arc::clone(company), seat.clone(), *event));
        }
        if let Err(diagnostics) = host.execute(order, *event).await {
            let why = format!("{event} on instance {}: {}", seat.number, diagnostics.message);
            company.world.happened(
                Some(seat.number),
                Happening::EventFailed {
                    deployment: order.deployment.clone(),
                    event: *event,
                    why: diagnostics.message,
                },
            );
            return Err(why);
        }
    }
    Ok(())
}

/// Kills the agent somewhere in the first second of an event, and starts it again as systemd would.
async fn kill_agent(company: Arc<Company>, seat: Seat, during: LifecycleEvent) {
    sleep(Duration::from_millis(company.world.draw(1000))).await;
    if let Err(error) = company.crew.kill_agent(&seat).await {
        let note = format!("the agent could not be killed: {error:#}");
        company.world.happened(Some(seat.number), Happening::Noted { note });
        return;
    }
    company.world.happened(Some(seat.number), Happening::AgentKilled { during });
    sleep(RESTART_AFTER).await;
    company.start_agent(&seat).await;
}
