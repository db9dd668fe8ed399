//! The RPM package's life on an instance with the real dnf and rpm. The root is Debian's, since no registry has Amazon's own:
//! scriptlets, dependencies and the package data base are real; glibc and systemd are not Amazon's.

use std::fs;

use pitcrew_tests::{needs, repository};

use super::built::{self, CONTAINER};
use super::instance::Instance;
use super::life::{self, CONFIGURATION, LEDGER, UNITS};

const UPGRADE: [&str; 3] = ["rpm", "--upgrade", "/root/newer.rpm"];

#[test]
#[ignore = "needs the packages: packaging/build"]
fn package_lives_through_what_the_debian_one_does() {
    let test = "the life of the RPM package";
    let (package, deb) = (built::package("x86_64.rpm"), built::package("amd64.deb"));
    if !needs::met(test, &[CONTAINER, needs::RPM]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let agent = built::unpacked(&deb, folder.path());
    let newer = built::next_version("x86_64", "rpm", &agent);

    let mut instance = Instance::new("rpm", &agent);
    let machine = &instance.machine;
    repository::prepare(machine, &[("pitcrew.rpm", &fs::read(&package).unwrap())]);
    machine.write("root/newer.rpm", &fs::read(&newer).unwrap());
    machine.write(CONFIGURATION, instance.world.configuration().as_bytes());
    instance.has_units(&["shop", "codedeploy-agent"]);
    instance.boots();
    let machine = &instance.machine;

    machine.run(&["dnf", "install", "--assumeyes", "--quiet", "pitcrew"]);
    instance.until_it_finds_its_target_group();
    for unit in UNITS {
        machine.run(&["systemctl", "is-enabled", unit]);
        assert!(machine.is_active(unit), "{unit}");
    }
    machine.run(&["rpm", "--verify", "pitcrew"]);
    assert_eq!(instance.moves(), [""; 0]);

    life::first_deployment_leaves_and_returns(&instance);
    life::upgrade_during_a_deployment_keeps_the_lease_and_moves_nothing(&instance, &UPGRADE);
    machine.run(&["systemctl", "is-enabled", "pitcrew.service"]);

    let ledger = machine.path(LEDGER);
    let text = fs::read_to_string(&ledger).unwrap();
    fs::write(&ledger, text.replacen("{\"pitcrew_ledger\":1", "{\"pitcrew_ledger\":99", 1)).unwrap();
    let downgrade = machine.said(&["rpm", "--upgrade", "--oldpackage", "/srv/repository/pitcrew.rpm"]);
    assert!(downgrade.contains("format 99; this one reads 1"), "{downgrade}");
    assert_eq!(machine.run(&["rpm", "--query", "--queryformat=%{VERSION}", "pitcrew"]), "9.0.0");
    fs::write(&ledger, text).unwrap();

    life::stop_leaves_traffic_and_start_returns(&instance);
    for verb in ["reboot", "poweroff"] {
        life::end_leaves_traffic_before_anything_stops(&mut instance, verb);
    }

    let machine = &instance.machine;
    machine.run(&["rpm", "--erase", "pitcrew"]);
    assert!(!machine.path("usr/bin/pitcrew").exists());
    assert!(machine.path(CONFIGURATION).exists());
    assert!(machine.path(LEDGER).exists());
    assert_eq!(instance.moves(), [""; 0]);
}
