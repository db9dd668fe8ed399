//! Takes an instance away: gives the notice, disturbs the agent while it leaves, and ends the instance in time.

use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::time::{sleep, timeout};

use super::{Company, Options};
use crate::interruption::{Action, Interruption, Kill};
use crate::seat::Seat;
use crate::timeline::Happening;
use crate::world::faults::MetadataFault;

/// systemd waits this long before it starts a killed agent again (`RestartSec=`).
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// A hibernated instance freezes no sooner.
const FREEZES_AFTER: Duration = Duration::from_secs(10);
/// How long a trouble of a metadata service lasts.
pub(super) const TROUBLE: Duration = Duration::from_secs(30);
/// An instance that stays is watched for this long after its notice, or the end of it.
const WATCHED: Duration = Duration::from_secs(20);
/// The clock is set this long after the notice: in the middle of the drain.
const CLOCK_JUMPS_AFTER: Duration = Duration::from_secs(3);

/// What happens to the first instance besides its deployment.
#[derive(Debug, Clone)]
pub(super) struct Fate {
    pub(super) interruption: Interruption,
    kill: Option<Kill>,
    clock_jump: Option<i64>,
    metadata_fault: Option<MetadataFault>,
}

impl Fate {
    /// Only the notice and the end.
    pub(super) fn undisturbed(interruption: Interruption) -> Self {
        Self { interruption, kill: None, clock_jump: None, metadata_fault: None }
    }

    /// The fate that the options name, if any.
    pub(super) fn of(options: &Options) -> Option<Self> {
        Some(Self {
            interruption: options.interruption?,
            kill: options.kill_agent_at.clone().filter(|_| options.agents),
            clock_jump: options.clock_jump,
            metadata_fault: options.metadata_fault,
        })
    }
}

/// Plays the fate of an idle instance, `after` from now.
pub(super) async fn strike_idle(company: Arc<Company>, seat: Seat, mut fate: Fate, after: Duration) {
    // The notice falls somewhere into the trouble.
    if let Some(fault) = fate.metadata_fault.take() {
        let ahead = Duration::from_millis(company.world.draw(28_000)).min(after);
        sleep(after - ahead).await;
        company.world.trouble_metadata(&seat, fault, TROUBLE);
        sleep(ahead).await;
    } else {
        sleep(after).await;
    }
    strike(company, seat, fate).await;
}

/// Plays the fate of an instance: the notice comes within a second, and this ends when the instance has ended.
pub(super) async fn strike(company: Arc<Company>, seat: Seat, fate: Fate) {
    sleep(Duration::from_millis(company.world.draw(1000))).await;
    if let Some(fault) = fate.metadata_fault {
        company.world.trouble_metadata(&seat, fault, TROUBLE);
    }
    let Interruption { action, notice, withdrawn_after, .. } = fate.interruption;
    company.world.give_notice(&seat, action, notice);

    let end = end(&company, &seat, action, notice, withdrawn_after);
    let disturbance = async {
        tokio::join!(kill(&company, &seat, fate.kill.as_ref()), set_clock(&company, &seat, fate.clock_jump));
    };
    tokio::pin!(end, disturbance);
    select! {
        biased;
        () = &mut end => {
            // One that stays needs its agent again; of one that is gone nothing starts.
            if !company.is_gone(seat.number) {
                // A call that was never made kills nobody.
                let _ = timeout(WATCHED, disturbance).await;
            }
        }
        () = &mut disturbance => end.await,
    }
}

async fn end(company: &Company, seat: &Seat, action: Action, notice: Duration, withdrawn_after: Option<Duration>) {
    let world = &company.world;
    if let Some(after) = withdrawn_after {
        sleep(after).await;
        world.withdraw_notices(seat);
        return sleep(WATCHED).await;
    }
    match action {
        Action::Terminate | Action::Stop | Action::Scheduled | Action::Elastigroup => sleep(notice).await,
        Action::Hibernate => {
            let spare = notice.saturating_sub(FREEZES_AFTER).as_millis();
            let later = world.draw(u64::try_from(spare).unwrap_or(u64::MAX));
            sleep(notice.min(FREEZES_AFTER) + Duration::from_millis(later)).await;
        }
        Action::Rebalance => return sleep(WATCHED).await,
        Action::AutoScaling => {
            while world.scaling_proceeds(seat).is_none() {
                sleep(Duration::from_millis(100)).await;
            }
            sleep(Duration::from_millis(1000 + world.draw(2000))).await;
        }
        Action::Shutdown => match timeout(notice, company.crew.stop_agent(seat)).await {
            Ok(Ok(())) => world.happened(Some(seat.number), Happening::AgentStopped),
            Ok(Err(error)) => note(company, seat, format!("the agent did not stop: {error:#}")),
            Err(_) => note(company, seat, "the agent had not ended when the time for it was over".to_owned()),
        },
    }
    company.take_away(seat).await;
}

async fn kill(company: &Company, seat: &Seat, kill: Option<&Kill>) {
    match kill {
        None | Some(Kill::During(_) | Kill::ForGood(_)) => return,
        Some(Kill::AfterNotice(after)) => sleep(*after).await,
        Some(Kill::Calling(action)) => company.world.called(seat, action).await,
    }
    if let Some(kill) = kill {
        kill_and_restart(company, seat, &kill.to_string()).await;
    }
}

/// Kills the agent; says whether it is dead.
pub(super) async fn kill_agent(company: &Company, seat: &Seat, when: &str) -> bool {
    if company.is_gone(seat.number) {
        return false;
    }
    if let Err(error) = company.crew.kill_agent(seat).await {
        note(company, seat, format!("the agent could not be killed: {error:#}"));
        return false;
    }
    company.world.happened(Some(seat.number), Happening::AgentKilled { when: when.to_owned() });
    true
}

/// Kills the agent, and starts it again as systemd would, unless the instance is gone by then.
pub(super) async fn kill_and_restart(company: &Company, seat: &Seat, when: &str) {
    if !kill_agent(company, seat, when).await {
        return;
    }
    select! {
        biased;
        () = company.gone(seat.number) => {}
        () = async {
            sleep(RESTART_AFTER).await;
            company.start_agent(seat).await;
        } => {}
    }
}

async fn set_clock(company: &Company, seat: &Seat, seconds: Option<i64>) {
    let Some(seconds) = seconds else { return };
    sleep(CLOCK_JUMPS_AFTER).await;
    match company.crew.set_clock_forward(seat, seconds).await {
        Ok(()) => note(company, seat, format!("the clock is set by {seconds:+} s")),
        Err(error) => note(company, seat, format!("{error:#}")),
    }
}

fn note(company: &Company, seat: &Seat, note: String) {
    company.world.happened(Some(seat.number), Happening::Noted { note });
}
