//! An instance in its world, as the tests of both packages see it: what it says, and what it asks of the balancer.

use std::path::Path;
use std::time::Duration;

use pitcrew_tests::machine::Machine;

use super::world::World;

/// The call that takes a target out of traffic.
pub(crate) const OUT: &str = "DeregisterTargets";
/// The call that brings it back.
pub(crate) const IN: &str = "RegisterTargets";
/// Long enough for whatever takes seconds at most.
pub(crate) const SOON: Duration = Duration::from_secs(90);

/// A machine with the world outside.
pub(crate) struct Instance {
    pub(crate) machine: Machine,
    pub(crate) world: World,
    boots: u32,
}

/// Which boot this is. A container's systemd shows its units the id of the machine underneath, which stays the same.
const BOOT_ID: &str = "etc/boot-id";
/// Where the agent is told of it.
const DROP_INS: &str = "etc/systemd/system/pitcrew.service.d";

impl Instance {
    /// One that is not booted yet, in a world that `pitcrew` plays.
    pub(crate) fn new(name: &str, pitcrew: &Path) -> Self {
        let machine = Machine::new(name);
        let world = World::start(&machine.namespace, pitcrew);
        Self { machine, world, boots: 0 }
    }

    /// Gives it units that say when they stop.
    pub(crate) fn has_units(&self, names: &[&str]) {
        for name in names {
            self.machine.write(&format!("etc/systemd/system/{name}.service"), World::unit(name).as_bytes());
            self.machine.prepare(&["systemctl", "enable", name]);
        }
    }

    /// Boots the machine, and waits until all is up.
    pub(crate) fn boots(&mut self) {
        self.is_another_boot();
        self.machine.boot();
    }

    /// Begins to boot the machine.
    pub(crate) fn starts(&mut self) {
        self.is_another_boot();
        self.machine.start();
    }

    /// The agent takes the next boot for another one than the last.
    fn is_another_boot(&mut self) {
        self.boots += 1;
        self.machine.write(BOOT_ID, format!("boot-{}\n", self.boots).as_bytes());
        let command = format!("[Service]\nExecStart=\nExecStart=/usr/bin/pitcrew run --boot-id /{BOOT_ID}\n");
        self.machine.write(&format!("{DROP_INS}/boot.conf"), command.as_bytes());
    }

    /// Takes away what no package has brought.
    pub(crate) fn forgets_its_boots(&self) {
        std::fs::remove_dir_all(self.machine.path(DROP_INS)).unwrap();
    }

    /// Calls that move traffic, and what units said, since the last time.
    pub(crate) fn moves(&self) -> Vec<String> {
        let mut moves = self.world.heard.take();
        moves.retain(|line| line == OUT || line == IN || line.contains(' '));
        // A call may be tried again.
        moves.dedup();
        moves
    }

    /// Runs the hook of a lifecycle event of a deployment that goes on, as CodeDeploy would; it must end well.
    pub(crate) fn hook(&self, event: &str, deployment: &str) {
        self.world.codedeploy.says(deployment, "InProgress");
        self.hook_of_nobody(event, deployment);
    }

    /// The same for a deployment that CodeDeploy knows nothing of.
    pub(crate) fn hook_of_nobody(&self, event: &str, deployment: &str) {
        self.machine.run(&[
            "env",
            &format!("LIFECYCLE_EVENT={event}"),
            &format!("DEPLOYMENT_ID={deployment}"),
            "APPLICATION_NAME=sample",
            "DEPLOYMENT_GROUP_NAME=sample-fleet",
            "pitcrew",
            "hook",
        ]);
    }

    /// What the agent says of itself; null where nobody answers.
    pub(crate) fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.machine.said(&["pitcrew", "status", "--json"])).unwrap_or_default()
    }

    /// The agent's process.
    pub(crate) fn agent(&self) -> String {
        let shown = self.machine.run(&["systemctl", "show", "--property=MainPID", "--value", "pitcrew.service"]);
        shown.trim().to_owned()
    }

    pub(crate) fn is_in_traffic(&self) -> bool {
        self.machine.said(&["pitcrew", "status"]).contains("in traffic")
    }

    pub(crate) fn until_it_finds_its_target_group(&self) {
        let is_named = || self.machine.said(&["pitcrew", "status"]).contains("sample-web");
        self.machine.until("the agent finds its target group", SOON, is_named);
    }

    /// Waits until the agent of another process than `before` answers.
    pub(crate) fn until_another_agent_runs(&self, before: &str) {
        self.machine.until("the new agent runs", SOON, || {
            let agent = self.agent();
            agent != before && agent != "0" && self.machine.succeeds(&["pitcrew", "status"])
        });
    }

    /// Waits until traffic has come back, which nothing has been heard of yet.
    pub(crate) fn until_it_is_back(&self) {
        self.machine.until("the instance is back in traffic", SOON, || self.world.heard.has(IN));
        self.machine.until("it is healthy there", SOON, || self.is_in_traffic());
        self.world.heard.take();
    }
}
