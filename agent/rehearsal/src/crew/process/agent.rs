//! Starts `pitcrew run` as systemd would and waits until it says READY.

use std::fs;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};
use tokio::select;
use tokio::time::sleep;

use super::{dirs, log};
use crate::crew::SELECTING_TAG;
use crate::seat::Seat;
use crate::world::World;
use crate::world::elastigroup::{GroupPlan, TOKEN_PARAMETER};

/// How long an agent may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(20);

pub(super) async fn start(seat: &Seat, world: &World, settings: &str, mut command: Command) -> anyhow::Result<Child> {
    let dirs = dirs(seat)?;
    for (name, text) in agent_configuration(seat, world, settings) {
        fs::write(dirs.config.join(name), text).context("writing the agent's configuration")?;
    }
    let notify = dirs.runtime.join("notify");
    // Left behind by an agent that was killed.
    let _ = fs::remove_file(&notify);
    let socket = UnixDatagram::bind(&notify).context("binding the notify socket")?;
    let output = dirs.logs.join("agent.log");
    let mut child = command
        .arg("run")
        .arg("--config-dir")
        .arg(&dirs.config)
        .arg("--state-dir")
        .arg(&dirs.state)
        .arg("--socket")
        .arg(dirs.socket())
        .arg("--boot-id")
        .arg(dirs.boot_id())
        .env("NOTIFY_SOCKET", &notify)
        .stdout(log(&output)?)
        .stderr(log(&output)?)
        .spawn()
        .context("starting the agent")?;
    let last_words = || {
        let text = fs::read_to_string(&output).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    };
    select! {
        biased;
        ready = ready(&socket) => ready.context("reading the agent's notifications")?,
        ended = child.wait() => bail!("the agent ended before it was ready ({}): {}", ended?, last_words()),
        () = sleep(READY_WITHIN) => bail!("the agent was not ready within {READY_WITHIN:?}: {}", last_words()),
    }
    // Later messages (STATUS, WATCHDOG) find their reader gone, as under a service manager that died.
    Ok(child)
}

async fn ready(socket: &UnixDatagram) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let message = String::from_utf8_lossy(&buffer[..length]);
        if message.lines().any(|line| line == "READY=1") {
            return Ok(());
        }
    }
}

/// The configuration of an agent in a rehearsal, as fragments in TOML and their names, the least important first: the
/// probe, patience that fits, and what to do before the end; then `settings`.
pub fn agent_configuration(seat: &Seat, world: &World, settings: &str) -> [(&'static str, String); 3] {
    let scripts = seat.dirs.as_ref().map(|dirs| format!("scripts = \"{}\"\n", dirs.drain_scripts().display()));
    let root = seat.dirs.as_ref().map(|dirs| format!("[codedeploy]\nroot = \"{}\"\n\n", dirs.deployments.display()));
    let ask_after = world.ask_after.map(|after| format!("ask_after = \"{}s\"\n", after.as_secs()));
    let elastigroup = world.elastigroup_plan.as_ref().map(|plan| elastigroup(plan, world)).unwrap_or_default();
    let fitting = format!(
        "[[health.probe]]\n\
         name = \"app\"\n\
         http = \"http://{}/health\"\n\
         interval = \"500ms\"\n\
         \n\
         [deployment]\n\
         {}\n\
         {}\
         [leave]\n\
         remove_tags = [\"{SELECTING_TAG}\"]\n\
         run_scripts = \"direct\"\n\
         {}\
         \n\
         [http]\n\
         listen = \"{}\"\n",
        seat.application,
        ask_after.unwrap_or_default(),
        root.unwrap_or_default(),
        scripts.unwrap_or_default(),
        seat.looked_at
    );
    [("50-rehearsal.toml", fitting), ("55-elastigroup.toml", elastigroup), ("60-set.toml", settings.to_owned())]
}

/// Protects all that can be protected.
fn elastigroup(plan: &GroupPlan, world: &World) -> String {
    let owner = if plan.moves_traffic { "\n[traffic]\nowner = \"elastigroup\"\n" } else { "" };
    format!(
        "{owner}\n\
         [elastigroup]\n\
         token = \"ssm:{TOKEN_PARAMETER}\"\n\
         base_url = \"http://{}\"\n\
         timeout = \"5s\"\n\
         suspend = [\"PREVENTIVE_REPLACEMENT\", \"AUTO_HEALING\", \"OUT_OF_STRATEGY\", \"REVERT_PREFERRED\"]\n",
        world.addresses.aws
    )
}
