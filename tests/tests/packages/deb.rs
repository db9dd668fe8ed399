//! The Debian package's whole life on one instance, from a machine that has never heard of it to one that has forgotten it.

use std::fs;
use std::path::{Path, PathBuf};

use pitcrew_tests::needs;

use super::built::{self, CONTAINER};
use super::instance::{IN, Instance, OUT, SOON};
use super::life::{self, CONFIGURATION, LEDGER, UNITS};

const IMPATIENT: &str = "etc/pitcrew/config.d/60-impatient.toml";
const INSTALL: [&str; 3] = ["dpkg", "--install", "/root/pitcrew.deb"];
const UPGRADE: [&str; 3] = ["dpkg", "--install", "/root/newer.deb"];

#[test]
#[ignore = "needs the packages: packaging/build"]
fn package_lives_through_everything_and_leaves_nothing() {
    let test = "the life of the Debian package";
    let package = built::package("amd64.deb");
    if !needs::met(test, &[CONTAINER]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let agent = built::unpacked(&package, folder.path());
    let newer = built::next_version("x86_64", "deb", &agent);
    let mut instance = Instance::new("deb", &agent);
    instance.machine.write("root/pitcrew.deb", &fs::read(&package).unwrap());
    instance.machine.write("root/newer.deb", &fs::read(&newer).unwrap());
    instance.has_units(&["shop", "codedeploy-agent"]);
    instance.boots();

    fresh_and_unconfigured_it_is_healthy_and_does_no_harm(&instance);
    systemd_finds_nothing_wrong_with_what_is_installed(&instance);
    reload_configures_it(&instance);
    life::first_deployment_leaves_and_returns(&instance);
    journal_has_the_fields_of_its_events(&instance);
    life::upgrade_during_a_deployment_keeps_the_lease_and_moves_nothing(&instance, &UPGRADE);
    deployment_that_goes_on_keeps_traffic_out_however_often_is_asked(&instance);
    deployment_that_codedeploy_does_not_know_is_given_up(&instance);
    refused_configuration_changes_nothing(&instance);
    refused_upgrade_changes_nothing(&instance);
    older_version_that_cannot_read_the_ledger_is_refused(&instance);
    life::stop_leaves_traffic_and_start_returns(&instance);
    for verb in ["reboot", "poweroff"] {
        life::end_leaves_traffic_before_anything_stops(&mut instance, verb);
    }
    life::end_during_user_data_leaves_traffic_before_anything_stops(&mut instance);
    stuck_agent_of_aws_is_restarted_by_root(&instance);
    removal_leaves_traffic_and_configuration_as_they_are(&instance);
    installed_again_it_goes_on_where_it_was(&instance);
    image_of_an_instance_wakes_up_as_another_one(&mut instance);
    image_forgets_the_instance(&instance);
    purging_leaves_nothing(&instance);
}

fn fresh_and_unconfigured_it_is_healthy_and_does_no_harm(instance: &Instance) {
    let machine = &instance.machine;
    let said = machine.run(&INSTALL);
    assert!(said.contains("/etc/pitcrew/config.d"), "{said}");
    machine.until("the agent runs", SOON, || machine.succeeds(&["pitcrew", "status"]));
    machine.until("it says that nothing is configured", SOON, || {
        machine.run(&["journalctl", "--unit=pitcrew", "--no-pager"]).contains("no [[health.probe]] is configured")
    });
    for unit in UNITS {
        machine.until(unit, SOON, || machine.is_active(unit));
        machine.run(&["systemctl", "is-enabled", unit]);
    }
    assert_eq!(instance.status()["healthy"], true);
    assert_eq!(instance.moves(), [""; 0]);
}

/// Its programs and manual pages are there now, and so are its user and its directories.
fn systemd_finds_nothing_wrong_with_what_is_installed(instance: &Instance) {
    let machine = &instance.machine;
    for unit in
        UNITS.into_iter().chain(["pitcrew-drain.service", "pitcrew-restart.service", "pitcrew-bootstrap.service"])
    {
        let said = machine.run(&["systemd-analyze", "verify", unit]);
        assert!(!said.contains("pitcrew"), "{unit}: {said}");
    }
}

fn reload_configures_it(instance: &Instance) {
    let machine = &instance.machine;
    let before = instance.agent();
    machine.write(CONFIGURATION, instance.world.configuration().as_bytes());
    machine.run(&["systemctl", "reload", "pitcrew"]);
    instance.until_it_finds_its_target_group();
    assert_eq!(instance.agent(), before, "the same process");
    assert_eq!(instance.moves(), [""; 0]);
}

fn journal_has_the_fields_of_its_events(instance: &Instance) {
    let journal = instance.machine.run(&["journalctl", "--unit=pitcrew", "--output=json", "--no-pager"]);
    let entries: Vec<serde_json::Value> = journal
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    let of_deployment = |entry: &&serde_json::Value| {
        let fields = entry.as_object().unwrap();
        fields.iter().any(|(name, value)| name.starts_with("PITCREW_") && value.as_str() == Some("d-FIRST0001"))
    };
    let entry =
        entries.iter().find(of_deployment).unwrap_or_else(|| panic!("no event names the deployment: {journal}"));
    assert!(entry["MESSAGE"].is_string() && entry["PRIORITY"].is_string(), "{entry}");
    assert_eq!(entry["_SYSTEMD_UNIT"], "pitcrew.service");
}

/// Through another start of the agent, too.
fn deployment_that_goes_on_keeps_traffic_out_however_often_is_asked(instance: &Instance) {
    let machine = &instance.machine;
    let until_it_asks = || {
        let before = instance.world.heard.times("GetDeployment");
        machine.until("CodeDeploy is asked", SOON, || instance.world.heard.times("GetDeployment") > before + 1);
    };
    machine.write(IMPATIENT, b"[deployment]\nask_after = \"1s\"\n");
    machine.run(&["systemctl", "reload", "pitcrew"]);
    instance.hook("BeforeInstall", "d-THIRD0003");
    assert_eq!(instance.moves(), [OUT]);
    until_it_asks();
    assert_eq!(instance.moves(), [""; 0]);
    let before = instance.agent();
    machine.run(&UPGRADE);
    instance.until_another_agent_runs(&before);
    until_it_asks();
    assert_eq!(instance.moves(), [""; 0]);
    instance.hook("ValidateService", "d-THIRD0003");
    assert_eq!(instance.moves(), [IN]);
}

/// What nobody rolls out will never end by itself.
fn deployment_that_codedeploy_does_not_know_is_given_up(instance: &Instance) {
    instance.hook_of_nobody("BeforeInstall", "d-NOBODYS00");
    assert_eq!(instance.moves(), [OUT]);
    instance.until_it_is_back();
    assert_eq!(instance.status()["deployments"], serde_json::json!([]));
    fs::remove_file(instance.machine.path(IMPATIENT)).unwrap();
    instance.machine.run(&["systemctl", "reload", "pitcrew"]);
}

fn refused_configuration_changes_nothing(instance: &Instance) {
    let machine = &instance.machine;
    let before = instance.agent();
    machine.write("etc/pitcrew/config.d/60-wrong.toml", b"[health]\nno_such_key = 1\n");
    machine.run(&["systemctl", "reload", "pitcrew"]);
    machine.until("the refusal is told", SOON, || {
        let said = machine.run(&["journalctl", "--unit=pitcrew", "--no-pager"]);
        said.lines().any(|line| line.contains("stays as it was") && line.contains("60-wrong.toml"))
    });
    assert!(instance.is_in_traffic());
    assert_eq!(instance.agent(), before);
    assert_eq!(instance.moves(), [""; 0]);
}

/// A version that would not start with the configuration does not take over.
fn refused_upgrade_changes_nothing(instance: &Instance) {
    let machine = &instance.machine;
    let before = instance.agent();
    let said = machine.run(&UPGRADE);
    assert!(said.contains("the old one runs on"), "{said}");
    assert_eq!(instance.agent(), before);
    fs::remove_file(machine.path("etc/pitcrew/config.d/60-wrong.toml")).unwrap();
    machine.run(&["systemctl", "reload", "pitcrew"]);
    assert_eq!(instance.moves(), [""; 0]);
}

fn older_version_that_cannot_read_the_ledger_is_refused(instance: &Instance) {
    let machine = &instance.machine;
    let ledger = machine.path(LEDGER);
    let text = fs::read_to_string(&ledger).unwrap();
    fs::write(&ledger, text.replacen("{\"pitcrew_ledger\":1", "{\"pitcrew_ledger\":99", 1)).unwrap();
    let downgrade = machine.said(&INSTALL);
    assert!(downgrade.contains("format 99; this one reads 1"), "{downgrade}");
    fs::write(&ledger, text).unwrap();
    assert!(machine.run(&["dpkg", "--list", "pitcrew"]).contains("9.0.0"));
    assert_eq!(instance.moves(), [""; 0]);
}

fn stuck_agent_of_aws_is_restarted_by_root(instance: &Instance) {
    let machine = &instance.machine;
    // Installed, and without a process.
    machine.write("opt/codedeploy-agent/.version", b"agent_version: OFFICIAL_1.8.1-12_deb\n");
    machine.write("etc/pitcrew/config.d/60-stuck.toml", b"[agents]\nlook = \"1s\"\nstuck_after = \"1s\"\n");
    machine.run(&["systemctl", "reload", "pitcrew"]);
    machine.until("the CodeDeploy agent is restarted", SOON, || instance.world.heard.has("codedeploy-agent stops"));
    machine.until("root says so", SOON, || {
        let said = machine.run(&["journalctl", "--unit=pitcrew-restart", "--no-pager"]);
        said.contains("restarted, because it was stuck") && !machine.path("run/pitcrew/restart/request").exists()
    });
    fs::remove_file(machine.path("etc/pitcrew/config.d/60-stuck.toml")).unwrap();
    machine.run(&["systemctl", "reload", "pitcrew"]);
    assert_eq!(instance.moves(), ["codedeploy-agent stops"]);
}

fn removal_leaves_traffic_and_configuration_as_they_are(instance: &Instance) {
    let machine = &instance.machine;
    machine.run(&["dpkg", "--remove", "pitcrew"]);
    assert!(!machine.path("usr/bin/pitcrew").exists());
    assert!(machine.path(CONFIGURATION).exists());
    assert!(machine.path(LEDGER).exists());
    assert_eq!(instance.moves(), [""; 0]);
}

fn installed_again_it_goes_on_where_it_was(instance: &Instance) {
    instance.machine.run(&UPGRADE);
    instance.until_it_finds_its_target_group();
    assert_eq!(instance.moves(), [""; 0]);
}

/// One that was baked without `ami-clean`, while the instance was out of traffic. It has no user data: what stands in
/// `/etc/pitcrew/user-data.gz` runs at each boot.
fn image_of_an_instance_wakes_up_as_another_one(instance: &mut Instance) {
    let machine = &instance.machine;
    let first = instance.world.instance.clone();
    assert!(machine.read(LEDGER).contains(&first));
    machine.run(&["sh", "-c", "echo 'echo prepared >>/var/tmp/boots' | gzip >/etc/pitcrew/user-data.gz"]);
    machine.run(&["pitcrew", "out"]);
    assert_eq!(instance.moves(), [OUT]);
    instance.machine.ends_by("poweroff");
    instance.world.becomes_another_instance();
    instance.world.heard.take();
    instance.boots();

    instance.until_it_finds_its_target_group();
    let machine = &instance.machine;
    let said = machine.run(&["journalctl", "--unit=pitcrew", "--boot", "--no-pager"]);
    assert!(said.contains(&format!("the ledger is of instance `{first}`")), "{said}");
    assert!(instance.is_in_traffic(), "the hold was the other one's");
    machine.until("it keeps a memory of its own", SOON, || {
        let ledger = machine.read(LEDGER);
        !ledger.is_empty() && !ledger.contains(&first)
    });
    machine.until("the image has prepared the instance", SOON, || machine.read("var/tmp/boots") == "prepared\n");
    assert_eq!(instance.moves(), [""; 0]);
}

fn image_forgets_the_instance(instance: &Instance) {
    let machine = &instance.machine;
    let refused = machine.said(&["pitcrew", "ami-clean"]);
    assert!(refused.contains("systemctl stop pitcrew"), "{refused}");
    machine.run(&["systemctl", "stop", "pitcrew"]);
    machine.run(&["pitcrew", "ami-clean"]);
    let left: Vec<_> = fs::read_dir(machine.path("var/lib/pitcrew")).unwrap().flatten().map(|one| one.path()).collect();
    assert_eq!(left, [""; 0].map(PathBuf::from));
    assert!(machine.path(CONFIGURATION).exists());
    assert_eq!(instance.moves(), [OUT], "whoever bakes an image has taken the instance out");
}

fn purging_leaves_nothing(instance: &Instance) {
    let machine = &instance.machine;
    instance.forgets_its_boots();
    machine.run(&["dpkg", "--purge", "pitcrew"]);
    assert_eq!(instance.moves(), [""; 0]);
    assert!(!machine.succeeds(&["getent", "passwd", "pitcrew"]));
    assert!(!machine.succeeds(&["getent", "group", "pitcrew"]));
    let units = machine.said(&["systemctl", "list-units", "--all", "--no-legend", "pitcrew*"]);
    assert_eq!(units.trim(), "");
    let changes = machine.changes();
    // Logs, caches, and what the test put there.
    let others = ["var/log", "var/cache", "root", "tmp", "var/tmp"];
    let left: Vec<_> = walk(&changes)
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains("pitcrew")))
        .map(|path| path.strip_prefix(&changes).unwrap().to_owned())
        .filter(|path| !others.iter().any(|other| path.starts_with(other)))
        .collect();
    assert_eq!(left, Vec::<PathBuf>::new());
}

/// Every file and folder below `folder`; what the overlay has struck out is none.
fn walk(folder: &Path) -> Vec<PathBuf> {
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
