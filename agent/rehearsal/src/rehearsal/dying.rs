//! Lets the deployment on the first instance die in one of its events, and watches what becomes of the instance.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::deployment::carry_out;
use super::{Company, is_back};
use crate::crew::ScriptCode;
use crate::death::{Cause, Generation};
use crate::host_agent::Order;
use crate::lifecycle::LifecycleEvent;
use crate::seat::Seat;
use crate::timeline::Happening;
use crate::world::codedeploy::Diagnostics;

/// The host agent's master starts its child again after so long (measured on version 1).
const RESPAWN: Duration = Duration::from_secs(5);
/// Then it reports what was under way.
const REPORT: Duration = Duration::from_secs(1);
/// The operating system gives its services so long to stop.
const SHUTDOWN: Duration = Duration::from_secs(90);
/// An application that has not answered for this long is broken, not slow.
const BROKEN_AFTER: Duration = Duration::from_secs(60);
/// What has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(240);

/// What became of the instance, once its deployment was over and before the next one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Aftermath {
    /// Whether the application was well.
    pub healthy: bool,
    /// From the moment at which that and the deployment's end could both be known, until the instance was healthy in
    /// every place that it had. An unhealthy one stays out.
    #[serde(serialize_with = "crate::world::optional_seconds")]
    pub back_after: Option<Duration>,
    /// Whether an unhealthy instance is out of traffic, and its agent says that it is unhealthy.
    pub out_and_reported: bool,
}

/// Plays `event`, in which the deployment dies of `cause`. Some causes come to nothing in some events.
pub(super) async fn die(
    company: &Arc<Company>,
    seat: &Seat,
    order: &Order,
    event: LifecycleEvent,
    cause: Cause,
) -> Result<(), Diagnostics> {
    match cause {
        // The revision's own script hangs.
        Cause::Timeout => carry_out(company, seat, order, event).await,
        Cause::Stopped => stop(company, seat, order, event).await,
        Cause::HostAgent => kill(company, seat, order, event).await,
        Cause::Reboot => reboot(company, seat, order, event).await,
    }
}

async fn stop(company: &Company, seat: &Seat, order: &Order, event: LifecycleEvent) -> Result<(), Diagnostics> {
    let world = &company.world;
    let stopped = async {
        sleep(Duration::from_millis(world.draw(1000))).await;
        world.stop_deployment(&order.deployment);
        world.happened(None, Happening::DeploymentStopped { deployment: order.deployment.clone() });
    };
    let (done, ()) = tokio::join!(carry_out(company, seat, order, event), stopped);
    done?;
    Err(Diagnostics::without_script("the deployment was stopped".to_owned()))
}

async fn kill(company: &Arc<Company>, seat: &Seat, order: &Order, event: LifecycleEvent) -> Result<(), Diagnostics> {
    let (world, number) = (&company.world, seat.number);
    let missing = || Diagnostics::without_script("this instance has no host agent".to_owned());
    let host = company.host(number).ok_or_else(missing)?;
    let respawn = match host.generation() {
        Generation::One => RESPAWN,
        Generation::Two => RESPAWN + Duration::from_millis(world.draw(25_000)),
    };
    if !host.executes(order, event) {
        world.happened(Some(number), Happening::HostAgentKilled);
        sleep(respawn).await;
        world.happened(Some(number), Happening::HostAgentStarted);
        // Nothing was under way, so nothing is lost.
        return carry_out(company, seat, order, event).await;
    }
    host.begin(order, event)?;
    let orphan = {
        let (company, order) = (Arc::clone(company), order.clone());
        async move {
            if let Some(host) = company.host(number) {
                // The script runs to its end, but nobody reports it.
                let _ = host.work(&order, event).await;
            }
        }
    };
    company.leave_behind(orphan);
    sleep(Duration::from_millis(world.draw(120))).await;
    host.die();
    world.happened(Some(number), Happening::HostAgentKilled);
    sleep(respawn).await;
    host.come_back()?;
    world.happened(Some(number), Happening::HostAgentStarted);
    sleep(REPORT).await;
    Err(lost(company, seat, order, event))
}

async fn reboot(company: &Company, seat: &Seat, order: &Order, event: LifecycleEvent) -> Result<(), Diagnostics> {
    let moment = Instant::now() + Duration::from_millis(company.world.draw(1000));
    if matches!(event, LifecycleEvent::BlockTraffic | LifecycleEvent::AllowTraffic) {
        // The service itself plays these, whatever the instance does meanwhile.
        let (done, ()) = tokio::join!(carry_out(company, seat, order, event), async {
            sleep_until(moment).await;
            boot_anew(company, seat).await;
        });
        return done;
    }
    // What executes then is cut off.
    let done = timeout_at(moment, carry_out(company, seat, order, event)).await;
    sleep_until(moment).await;
    boot_anew(company, seat).await;
    match done {
        Ok(done) => done,
        Err(_) => {
            sleep(REPORT).await;
            Err(lost(company, seat, order, event))
        }
    }
}

async fn boot_anew(company: &Company, seat: &Seat) {
    let (world, number) = (&company.world, Some(seat.number));
    let note = |note: String| world.happened(number, Happening::Noted { note });
    world.happened(number, Happening::Rebooting);
    match timeout(SHUTDOWN, company.crew.stop_agent(seat)).await {
        Ok(Ok(())) => world.happened(number, Happening::AgentStopped),
        Ok(Err(error)) => note(format!("the agent did not stop: {error:#}")),
        Err(_) => note("the agent had not ended when the time for it was over".to_owned()),
    }
    let services = company.services(seat.number);
    if let Some(services) = services
        && let Err(error) = services.stop().await
    {
        note(format!("the application did not stop: {error:#}"));
    }
    sleep(Duration::from_millis(8_000 + world.draw(12_000))).await;
    company.crew.boot(seat).await;
    world.happened(number, Happening::Booted);
    if let Some(services) = services
        && let Err(error) = services.start().await
    {
        note(format!("the application did not start: {error:#}"));
    }
    company.start_agent(seat).await;
    if let Some(host) = company.host(seat.number)
        && let Err(diagnostics) = host.come_back()
    {
        note(diagnostics.message);
    }
}

/// What a host agent reports that finds a command under way when it starts.
fn lost(company: &Company, seat: &Seat, order: &Order, event: LifecycleEvent) -> Diagnostics {
    let diagnostics = Diagnostics {
        code: ScriptCode::FailedAfterRestart,
        ..Diagnostics::without_script("the host agent was restarted while it carried this out".to_owned())
    };
    company.world.event_ended(seat, &order.deployment, event, Some(diagnostics.clone()));
    diagnostics
}

/// Watches the instance after its deployment is over: until it is back, or is known to be broken.
pub(super) async fn watch(company: &Company, seat: &Seat) -> Aftermath {
    let over = Instant::now();
    let mut well_since = None;
    loop {
        let healthy = match company.services(seat.number) {
            Some(services) => services.healthy_release().await.is_some(),
            None => false,
        };
        let now = Instant::now();
        if healthy {
            let known = *well_since.get_or_insert(now);
            if is_back(&company.world, seat) {
                return Aftermath { healthy, back_after: Some(now - known.max(over)), out_and_reported: false };
            }
        } else {
            well_since = None;
        }
        if !healthy && now - over >= BROKEN_AFTER {
            let said = company.crew.agent_status(seat).await.unwrap_or_default();
            let out_and_reported = company.world.in_traffic(seat).is_empty() && says_unhealthy(&said);
            return Aftermath { healthy, back_after: None, out_and_reported };
        }
        if now - over >= PATIENCE {
            return Aftermath { healthy, back_after: None, out_and_reported: false };
        }
        sleep(Duration::from_millis(200)).await;
    }
}

fn says_unhealthy(status: &Value) -> bool {
    [status.get("healthy"), status.pointer("/view/healthy")].into_iter().flatten().any(|healthy| healthy == false)
}
