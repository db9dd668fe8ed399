//! CodeDeploy's service side of one deployment: which instance when, which event next, and what a failure means.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Company;
use super::dying::die;
use super::group;
use super::interrupt::{Fate, kill_agent, kill_and_restart, strike};
use crate::bundle::Bundle;
use crate::death::Death;
use crate::host_agent::Order;
use crate::interruption::{Kill, Moment};
use crate::lifecycle::LifecycleEvent;
use crate::seat::Seat;
use crate::timeline::Happening;
use crate::world::codedeploy::{Creator, DeploymentGroup, Diagnostics};
use crate::world::elastigroup::Wish;

/// How a deployment is to be disturbed.
#[derive(Debug, Clone, Default)]
pub(super) struct Disturbance {
    pub(super) kill: Option<Kill>,
    pub(super) fate: Option<Fate>,
    /// What the group wants, and when.
    pub(super) wish: Option<(Wish, Moment)>,
    pub(super) death: Option<Death>,
}

/// What is deployed, and where.
#[derive(Debug, Clone)]
pub(super) struct Rollout {
    pub(super) group: DeploymentGroup,
    pub(super) revision: Arc<Bundle>,
    pub(super) creator: Creator,
    pub(super) ignores_stop_failures: bool,
}

impl Rollout {
    /// As a person deploys.
    pub(super) fn new(group: DeploymentGroup, revision: Bundle) -> Self {
        Self { group, revision: Arc::new(revision), creator: Creator::User, ignores_stop_failures: false }
    }
}

/// How a deployment ended.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Ended {
    /// Its id.
    pub deployment: String,
    /// Name of its group.
    pub group: String,
    /// What its revision calls itself.
    pub release: String,
    /// Why it failed; `None` is a success.
    pub failed: Option<String>,
    /// Instances on which every event succeeded.
    pub succeeded_on: Vec<u8>,
    /// Instances on which an event failed.
    pub failed_on: Vec<u8>,
}

/// Plays a deployment, one instance after the other (`CodeDeployDefault.OneAtATime`).
pub(super) async fn roll(company: Arc<Company>, seats: Vec<Seat>, rollout: Rollout, disturbance: Disturbance) -> Ended {
    let Rollout { group, revision, creator, ignores_stop_failures } = rollout;
    let world = &company.world;
    let instances: Vec<_> = seats.iter().map(|seat| seat.instance_id.clone()).collect();
    let deployment = world.create_deployment(&group, &revision.revision, creator, &instances);
    world.happened(
        None,
        Happening::DeploymentCreated {
            deployment: deployment.clone(),
            group: group.name.clone(),
            revision: revision.revision.clone(),
        },
    );
    let order = Order { deployment: deployment.clone(), group, revision, ignores_stop_failures };
    let mut ended = Ended {
        deployment: deployment.clone(),
        group: order.group.name.clone(),
        release: order.revision.release().split_whitespace().next().unwrap_or_default().to_owned(),
        failed: None,
        succeeded_on: Vec::new(),
        failed_on: Vec::new(),
    };
    let mut beside = JoinSet::new();
    for (place, seat) in seats.iter().enumerate() {
        let mut disturbance = disturbance.clone();
        // Only the first instance has a fate, and only there a deployment dies.
        disturbance.fate = disturbance.fate.filter(|_| place == 0);
        disturbance.wish = disturbance.wish.filter(|_| place == 0);
        disturbance.kill = disturbance.kill.filter(|kill| place == 0 || !matches!(kill, Kill::ForGood(_)));
        disturbance.death = disturbance.death.filter(|_| place == 0);
        match play(&company, seat, &order, &disturbance, &mut beside).await {
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
    while beside.join_next().await.is_some() {}
    ended
}

async fn play(
    company: &Arc<Company>,
    seat: &Seat,
    order: &Order,
    disturbance: &Disturbance,
    beside: &mut JoinSet<()>,
) -> Result<(), String> {
    for event in LifecycleEvent::order(order.group.controls_traffic.is_some()) {
        let done = async {
            // The host agent polls every second.
            sleep(Duration::from_millis(200 + company.world.draw(1000))).await;
            disturb(company, seat, disturbance, *event, beside);
            match disturbance.death.filter(|death| death.at == *event) {
                Some(death) => die(company, seat, order, *event, death.of).await,
                None => carry_out(company, seat, order, *event).await,
            }
        };
        let done = tokio::select! {
            biased;
            () = company.gone(seat.number) => Err(taken_away(company, seat, order, *event)),
            done = done => done,
        };
        if let Err(diagnostics) = done {
            if order.ignores_stop_failures && event.runs_previous_revision() && !company.is_gone(seat.number) {
                let note = format!("{event} failed, which is ignored: {}", diagnostics.message);
                company.world.happened(Some(seat.number), Happening::Noted { note });
                continue;
            }
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

/// Begins what is to happen during this event.
fn disturb(
    company: &Arc<Company>,
    seat: &Seat,
    disturbance: &Disturbance,
    event: LifecycleEvent,
    beside: &mut JoinSet<()>,
) {
    if let Some(kill @ (Kill::During(during) | Kill::ForGood(during))) = &disturbance.kill
        && *during == event
    {
        let (company, seat, kill) = (Arc::clone(company), seat.clone(), kill.clone());
        beside.spawn(async move {
            sleep(Duration::from_millis(company.world.draw(1000))).await;
            match &kill {
                Kill::ForGood(_) => drop(kill_agent(&company, &seat, &kill.to_string()).await),
                Kill::During(_) | Kill::AfterNotice(_) | Kill::Calling(_) => {
                    kill_and_restart(&company, &seat, &kill.to_string()).await;
                }
            }
        });
    }
    if let Some((wish, Moment::During(during))) = disturbance.wish
        && during == event
    {
        beside.spawn(group::wants(Arc::clone(company), wish));
    }
    if let Some(fate) = &disturbance.fate
        && fate.interruption.at == Moment::During(event)
    {
        beside.spawn(strike(Arc::clone(company), seat.clone(), fate.clone()));
    }
}

/// One event: by the service itself where it moves traffic, else by the host agent.
pub(super) async fn carry_out(
    company: &Company,
    seat: &Seat,
    order: &Order,
    event: LifecycleEvent,
) -> Result<(), Diagnostics> {
    let world = &company.world;
    match (event, &order.group.controls_traffic) {
        (LifecycleEvent::BlockTraffic | LifecycleEvent::AllowTraffic, Some(group)) => {
            world.event_began(seat, &order.deployment, event);
            let deployment = order.deployment.clone();
            world.happened(Some(seat.number), Happening::EventStarted { deployment, event });
            let done = if event == LifecycleEvent::BlockTraffic {
                world.block_traffic(seat, group).await;
                Ok(())
            } else {
                world.allow_traffic(seat, group).await.map_err(Diagnostics::without_script)
            };
            world.event_ended(seat, &order.deployment, event, done.clone().err());
            done
        }
        _ => match company.host(seat.number) {
            Some(host) => host.execute(order, event).await,
            None => Err(Diagnostics::without_script("this instance has no host agent".to_owned())),
        },
    }
}

/// The real service finds out within five minutes to an hour; that wait is not played.
fn taken_away(company: &Company, seat: &Seat, order: &Order, event: LifecycleEvent) -> Diagnostics {
    let diagnostics = Diagnostics::without_script("the instance was taken away".to_owned());
    company.world.event_ended(seat, &order.deployment, event, Some(diagnostics.clone()));
    diagnostics
}
