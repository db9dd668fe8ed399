//! The RPM package on an instance with the real dnf and rpm. The root is Debian's, since no registry has Amazon's own:
//! scriptlets, dependencies and the package data base are real; glibc and systemd are not Amazon's.

use std::fs;

use super::built::{self, CONTAINER};
use super::command::run;
use super::instance::Instance;
use super::needs::{self, Program};
use super::world::World;

const RPM: &[Program] = &[
    Program { name: "dnf", package: "dnf" },
    Program { name: "rpmbuild", package: "rpm" },
    Program { name: "createrepo_c", package: "createrepo-c" },
];

/// What the package depends on, as files that are there already.
const SYSTEM_SPEC: &str = "Name: system-of-the-test\nVersion: 1\nRelease: 1\nSummary: of a test\nLicense: Apache-2.0\n\
    BuildArch: noarch\nProvides: /bin/sh\nProvides: glibc = 2.26\nProvides: systemd = 219\nProvides: system-release\n\
    %description\nof a test\n%files\n";

#[test]
fn package_is_installed_upgraded_and_removed_without_moving_traffic() {
    let test = "the life of the RPM package";
    let (Some(package), Some(deb)) = (built::package(test, "x86_64.rpm"), built::package(test, "amd64.deb")) else {
        return;
    };
    if !needs::met(test, &[CONTAINER, RPM]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let agent = built::unpacked(&deb, folder.path());
    let newer = built::next_version("x86_64", "rpm", &agent);

    let mut instance = Instance::new("rpm");
    let world = World::start(&instance.namespace, &agent);
    instance.write("etc/rpm/macros", b"%_dbpath /var/lib/rpm\n");
    instance.write(
        "etc/yum.repos.d/local.repo",
        b"[local]\nname=local\nbaseurl=file:///srv/repository\ngpgcheck=0\nmetadata_expire=never\n",
    );
    instance.write("srv/system.spec", SYSTEM_SPEC.as_bytes());
    instance.write("srv/repository/pitcrew.rpm", &fs::read(&package).unwrap());
    instance.write("root/newer.rpm", &fs::read(&newer).unwrap());
    let build =
        "rpmbuild -bb --quiet --define '_topdir /tmp/rpmbuild' --define '_rpmdir /srv/repository' /srv/system.spec";
    instance.prepare(&["sh", "-c", build]);
    run("createrepo_c", &["--quiet", instance.path("srv/repository").to_str().unwrap()]);
    instance.prepare(&["rpm", "-U", "/srv/repository/noarch/system-of-the-test-1-1.noarch.rpm"]);
    instance.write("etc/pitcrew/config.d/50-test.toml", world.configuration().as_bytes());
    instance.boot();

    instance.run(&["dnf", "install", "--assumeyes", "--quiet", "pitcrew"]);
    instance.until("the agent finds its target group", 60, |instance| {
        instance.try_run(&["pitcrew", "status"]).contains("sample-web")
    });
    instance.run(&["systemctl", "is-enabled", "pitcrew.service", "pitcrew-shutdown.service", "pitcrew-drain.path"]);
    instance.run(&["rpm", "--verify", "pitcrew"]);

    let pid = |instance: &Instance| {
        instance.run(&["systemctl", "show", "--property=MainPID", "--value", "pitcrew.service"]).trim().to_owned()
    };
    let before = pid(&instance);
    instance.run(&["rpm", "--upgrade", "/root/newer.rpm"]);
    instance.until("the new agent runs", 30, |instance| {
        let now = pid(instance);
        now != before && now != "0" && instance.output(&["pitcrew", "status"]).status.success()
    });
    instance.run(&["systemctl", "is-enabled", "pitcrew.service"]);

    let ledger = instance.path("var/lib/pitcrew/ledger.json");
    let text = fs::read_to_string(&ledger).unwrap();
    fs::write(&ledger, text.replacen("{\"pitcrew_ledger\":1", "{\"pitcrew_ledger\":99", 1)).unwrap();
    let downgrade = instance.output(&["rpm", "--upgrade", "--oldpackage", "/srv/repository/pitcrew.rpm"]);
    assert!(!downgrade.status.success());
    assert_eq!(instance.run(&["rpm", "--query", "--queryformat=%{VERSION}", "pitcrew"]), "9.0.0");
    fs::write(&ledger, text).unwrap();

    instance.run(&["rpm", "--erase", "pitcrew"]);
    assert!(!instance.path("usr/bin/pitcrew").exists());
    assert!(instance.path("etc/pitcrew/config.d/50-test.toml").exists());
    let heard = world.heard.take();
    assert!(!heard.iter().any(|call| call == "DeregisterTargets" || call == "RegisterTargets"), "{heard:?}");
}
