//! What an instance lives through alike, whichever format its package has.

use super::instance::{IN, Instance, OUT, SOON};

/// The units that a fresh installation starts.
pub(crate) const UNITS: [&str; 4] =
    ["pitcrew.service", "pitcrew-drain.path", "pitcrew-restart.path", "pitcrew-shutdown.service"];
/// An operator's own file.
pub(crate) const CONFIGURATION: &str = "etc/pitcrew/config.d/50-test.toml";
/// The agent's memory.
pub(crate) const LEDGER: &str = "var/lib/pitcrew/ledger.json";

pub(crate) fn first_deployment_leaves_and_returns(instance: &Instance) {
    instance.hook("BeforeInstall", "d-FIRST0001");
    assert_eq!(instance.moves(), [OUT]);
    instance.hook("ValidateService", "d-FIRST0001");
    assert_eq!(instance.moves(), [IN]);
}

/// Another agent, the same open deployment, and no traffic meanwhile.
pub(crate) fn upgrade_during_a_deployment_keeps_the_lease_and_moves_nothing(instance: &Instance, upgrade: &[&str]) {
    let machine = &instance.machine;
    instance.hook("BeforeInstall", "d-SECOND002");
    let before = instance.agent();
    machine.run(upgrade);
    instance.until_another_agent_runs(&before);
    let open = instance.status()["deployments"].to_string();
    assert!(open.contains("d-SECOND002"), "the lease is lost: {open}");
    assert_eq!(instance.moves(), [OUT]);
    instance.hook("ValidateService", "d-SECOND002");
    assert_eq!(instance.moves(), [IN]);
    for unit in UNITS {
        assert!(machine.is_active(unit), "{unit}");
    }
}

pub(crate) fn stop_leaves_traffic_and_start_returns(instance: &Instance) {
    instance.machine.run(&["systemctl", "stop", "pitcrew"]);
    assert_eq!(instance.moves(), [OUT]);
    instance.machine.run(&["systemctl", "start", "pitcrew"]);
    instance.until_it_is_back();
}

/// Before the application and the CodeDeploy agent stop, that is; the next boot brings it back.
pub(crate) fn end_leaves_traffic_before_anything_stops(instance: &mut Instance, verb: &str) {
    leaves_traffic_before_anything_stops(instance, verb);
    instance.boots();
    for unit in UNITS {
        assert!(instance.machine.is_active(unit), "{unit}\n{}", instance.machine.story());
    }
    instance.until_it_is_back();
}

/// User data that runs on keeps the boot from ending, and systemd from saying that the system stops.
pub(crate) fn end_during_user_data_leaves_traffic_before_anything_stops(instance: &mut Instance) {
    let user_data = "[Unit]\nAfter=multi-user.target\n[Service]\nType=oneshot\nExecStart=/bin/sleep infinity\n\
                     [Install]\nWantedBy=multi-user.target\n";
    instance.machine.write("etc/systemd/system/user-data.service", user_data.as_bytes());
    instance.machine.run(&["systemctl", "enable", "user-data"]);
    leaves_traffic_before_anything_stops(instance, "reboot");
    instance.starts();
    instance.until_it_is_back();
    let machine = &instance.machine;
    machine.until("all but user data is up", SOON, || machine.is_active("pitcrew-shutdown.service"));
    assert_eq!(machine.said(&["systemctl", "is-system-running"]).trim(), "starting");
    machine.run(&["systemctl", "disable", "user-data"]);
    end_leaves_traffic_before_anything_stops(instance, "poweroff");
}

fn leaves_traffic_before_anything_stops(instance: &mut Instance, verb: &str) {
    instance.machine.ends_by(verb);
    // What the units said last may still be on its way.
    for stop in ["codedeploy-agent stops", "shop stops"] {
        instance.machine.until(stop, SOON, || instance.world.heard.has(stop));
    }
    let mut moves = instance.moves();
    assert_eq!(moves.remove(0), OUT, "{verb}\n{}", instance.machine.story());
    moves.sort();
    assert_eq!(moves, ["codedeploy-agent stops", "shop stops"], "{verb}");
}
