//! `Custom:Pitcrew` in the inventory of the world's Systems Manager; when it is told, `outward` shows.

use std::sync::Arc;
use std::time::Duration;

use pitcrew::doors::TokioClock;
use pitcrew::intake::host_agents::{CodeDeploySeen, Seen, SsmSeen};
use pitcrew::report::inventory::{Inventory, TYPE};
use pitcrew_core::Core;
use pitcrew_core::ids::InstanceId;
use pitcrew_core::time::{Instant, Now, WallTime};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::bench::Bench;

const START: Now = Now { at: Instant(3_600_000), wall: WallTime(1_795_435_200_000) };

fn told(bench: &Bench) -> usize {
    bench.world().calls().iter().filter(|call| call.action == "PutInventory" && call.status == 200).count()
}

#[tokio::test(start_paused = true)]
async fn the_inventory_says_what_runs_here() {
    let bench = Bench::new().await;
    let mut core = Core::new(pitcrew_core::settings::Settings::default(), Default::default(), START);
    let shown = watch::Sender::new(Some(Arc::new(core.view(START))));
    let seen = Seen {
        ssm: SsmSeen { installed: true, running: Some(true), ..SsmSeen::default() },
        codedeploy: CodeDeploySeen {
            installed: true,
            running: Some(true),
            version: Some("1.8.1".to_owned()),
            ..CodeDeploySeen::default()
        },
    };
    let agents = watch::Sender::new(seen);
    let inventory = Inventory {
        config: bench.instance(),
        instance: InstanceId::new(&*bench.seat().instance_id),
        clock: Arc::new(TokioClock::starting_at(START)),
    };
    let telling = tokio::spawn(inventory.run(shown.subscribe(), agents.subscribe()));
    sleep(Duration::from_secs(20)).await;
    assert_eq!(told(&bench), 1);
    let entry = bench.world().inventory(bench.seat(), TYPE).unwrap();
    let content = &entry["Content"][0];
    for (name, value) in [
        ("LastDeployment", "none"),
        ("LastDeploymentEnded", "never"),
        ("SsmAgent", "running"),
        ("CodeDeployAgent", "running"),
        ("CodeDeployAgentVersion", "1.8.1"),
        ("Revision", "unknown"),
    ] {
        assert_eq!(content[name], value, "{name} in {entry:#}");
    }
    assert!(content["State"].is_string() && content["Pitcrew"].is_string(), "{entry:#}");

    telling.abort();
}
