//! The Debian package's whole life on one instance: unconfigured, configured, deployed to, upgraded, stopped, rebooted,
//! powered off, removed, purged.

use std::fs;

use super::built::{self, CONTAINER};
use super::instance::Instance;
use super::listener::Heard;
use super::needs;
use super::world::World;

const OUT: &str = "DeregisterTargets";
const IN: &str = "RegisterTargets";

/// Calls that move traffic, and what units said, since the last time.
fn moves(heard: &Heard) -> Vec<String> {
    let mut moves = heard.take();
    moves.retain(|line| line == OUT || line == IN || line.contains(' '));
    // A call may be tried again.
    moves.dedup();
    moves
}

fn hook(instance: &Instance, event: &str, deployment: &str) -> String {
    instance.run(&[
        "env",
        &format!("LIFECYCLE_EVENT={event}"),
        &format!("DEPLOYMENT_ID={deployment}"),
        "APPLICATION_NAME=sample",
        "DEPLOYMENT_GROUP_NAME=sample-fleet",
        "pitcrew",
        "hook",
    ])
}

fn status(instance: &Instance) -> serde_json::Value {
    serde_json::from_str(&instance.try_run(&["pitcrew", "status", "--json"])).unwrap_or_default()
}

fn main_pid(instance: &Instance) -> String {
    instance.run(&["systemctl", "show", "--property=MainPID", "--value", "pitcrew.service"]).trim().to_owned()
}

fn is_in_traffic(instance: &Instance) -> bool {
    status(instance)["state"] == "in" || instance.try_run(&["pitcrew", "status"]).contains("in traffic")
}

#[test]
fn package_lives_through_everything_and_leaves_nothing() {
    let test = "the life of the Debian package";
    let Some(package) = built::package(test, "amd64.deb") else { return };
    if !needs::met(test, &[CONTAINER]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let agent = built::unpacked(&package, folder.path());
    let newer = built::next_version("x86_64", "deb", &agent);

    let mut instance = Instance::new("deb");
    let world = World::start(&instance.namespace, &agent);
    let heard = world.heard.clone();
    instance.write("root/pitcrew.deb", &fs::read(&package).unwrap());
    instance.write("root/newer.deb", &fs::read(&newer).unwrap());
    for name in ["shop", "codedeploy-agent"] {
        instance.write(&format!("etc/systemd/system/{name}.service"), World::unit(name).as_bytes());
        instance.prepare(&["systemctl", "enable", name]);
    }
    instance.boot();

    // Fresh and without configuration: it runs, is healthy, says so, and touches nothing.
    let said = instance.run(&["dpkg", "--install", "/root/pitcrew.deb"]);
    assert!(said.contains("/etc/pitcrew/config.d"), "{said}");
    instance.until("the agent runs", 60, |instance| instance.output(&["pitcrew", "status"]).status.success());
    instance.until("it says that nothing is configured", 10, |instance| {
        instance.run(&["journalctl", "--unit=pitcrew", "--no-pager"]).contains("no [[health.probe]] is configured")
    });
    for unit in ["pitcrew.service", "pitcrew-drain.path", "pitcrew-shutdown.service"] {
        instance
            .until(unit, 30, |instance| instance.output(&["systemctl", "is-active", "--quiet", unit]).status.success());
        instance.run(&["systemctl", "is-enabled", unit]);
    }
    assert_eq!(moves(&heard), [""; 0]);

    // Configured, without a restart that would leave traffic.
    instance.write("etc/pitcrew/config.d/50-test.toml", world.configuration().as_bytes());
    instance.run(&["systemctl", "reload", "pitcrew"]);
    instance.until("the agent finds its target group", 60, |instance| {
        instance.try_run(&["pitcrew", "status"]).contains("sample-web")
    });
    assert_eq!(moves(&heard), [""; 0]);

    // A first deployment.
    hook(&instance, "BeforeInstall", "d-FIRST0001");
    assert_eq!(moves(&heard), [OUT]);
    hook(&instance, "ValidateService", "d-FIRST0001");
    assert_eq!(moves(&heard), [IN]);

    // Upgraded in the middle of the next one: another agent, the same open deployment, and no traffic meanwhile.
    hook(&instance, "BeforeInstall", "d-SECOND002");
    let before = main_pid(&instance);
    instance.run(&["dpkg", "--install", "/root/newer.deb"]);
    instance.until("the new agent runs", 30, |instance| {
        let pid = main_pid(instance);
        pid != before && pid != "0" && instance.output(&["pitcrew", "status"]).status.success()
    });
    let said = instance.run(&["pitcrew", "status"]);
    assert!(said.contains("d-SECOND002"), "the lease is lost: {said}");
    assert_eq!(moves(&heard), [OUT]);
    hook(&instance, "ValidateService", "d-SECOND002");
    assert_eq!(moves(&heard), [IN]);

    // An older version that could not read what this one remembers is refused, and changes nothing.
    let ledger = instance.path("var/lib/pitcrew/ledger.json");
    let text = fs::read_to_string(&ledger).unwrap();
    fs::write(&ledger, text.replacen("{\"pitcrew_ledger\":1", "{\"pitcrew_ledger\":99", 1)).unwrap();
    let downgrade = instance.output(&["dpkg", "--install", "/root/pitcrew.deb"]);
    assert!(!downgrade.status.success());
    fs::write(&ledger, text).unwrap();
    assert!(instance.run(&["dpkg", "--list", "pitcrew"]).contains("9.0.0"));

    // Stopped: out of traffic first; started: back.
    instance.run(&["systemctl", "stop", "pitcrew"]);
    assert_eq!(moves(&heard), [OUT]);
    instance.run(&["systemctl", "start", "pitcrew"]);
    instance.until("the instance is back in traffic", 60, |_| heard.has(IN));
    instance.until("it is healthy there", 60, is_in_traffic);
    heard.take();

    // Rebooted and powered off: traffic is left before the application and the CodeDeploy agent stop.
    for verb in ["reboot", "poweroff"] {
        instance.ends_by(verb);
        let mut moves = moves(&heard);
        assert_eq!(moves.remove(0), OUT, "{verb}");
        moves.sort();
        assert_eq!(moves, ["codedeploy-agent stops", "shop stops"], "{verb}");
        instance.boot();
        instance.until("the instance is back in traffic", 90, |_| heard.has(IN));
        instance.until("it is healthy there", 60, is_in_traffic);
        heard.take();
    }

    // An image forgets this instance.
    let refused = instance.output(&["pitcrew", "ami-clean"]);
    assert!(!refused.status.success(), "the agent runs");

    // Removed: traffic stays as it is, and so does the configuration.
    instance.run(&["dpkg", "--remove", "pitcrew"]);
    assert!(!instance.path("usr/bin/pitcrew").exists());
    assert!(instance.path("etc/pitcrew/config.d/50-test.toml").exists());
    assert!(instance.path("var/lib/pitcrew/ledger.json").exists());
    assert_eq!(moves(&heard), [""; 0]);

    // Purged: nothing is left.
    instance.run(&["dpkg", "--purge", "pitcrew"]);
    assert_eq!(moves(&heard), [""; 0]);
    assert!(!instance.output(&["getent", "passwd", "pitcrew"]).status.success());
    let left = instance.try_run(&["systemctl", "list-units", "--all", "--no-legend", "pitcrew*"]);
    assert_eq!(left.trim(), "");
    let changes = instance.changes();
    let own = ["var/log", "var/cache", "root", "tmp", "var/tmp"];
    let left: Vec<_> = walk(&changes)
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains("pitcrew")))
        .map(|path| path.strip_prefix(&changes).unwrap().to_owned())
        .filter(|path| !own.iter().any(|own| path.starts_with(own)))
        .collect();
    assert_eq!(left, Vec::<std::path::PathBuf>::new());
}

/// Every file and folder below `folder`; what the overlay has struck out is none.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    use std::os::unix::fs::FileTypeExt as _;
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_char_device() {
            continue;
        }
        if kind.is_dir() {
            found.extend(walk(&entry.path()));
        }
        found.push(entry.path());
    }
    found
}
