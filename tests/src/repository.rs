//! Makes a Debian root one that dnf and rpm can work in: a package data base, and a repository of the machine's own.

use std::fs;

use crate::command::run;
use crate::machine::Machine;

/// What packages depend on, as files that are there already.
const SYSTEM: &str = "Name: system-of-the-test\nVersion: 1\nRelease: 1\nSummary: of a test\nLicense: Apache-2.0\n\
    BuildArch: noarch\nProvides: /bin/sh\nProvides: glibc = 2.26\nProvides: systemd = 219\nProvides: system-release\n\
    %description\nof a test\n%files\n";

/// Where the repository is in the machine.
const FOLDER: &str = "srv/repository";

/// Gives `machine`, which is not booted yet, the data base and a repository with these packages by file name.
pub fn prepare(machine: &Machine, packages: &[(&str, &[u8])]) {
    machine.write("etc/rpm/macros", b"%_dbpath /var/lib/rpm\n");
    machine.write(
        "etc/yum.repos.d/local.repo",
        format!("[local]\nname=local\nbaseurl=file:///{FOLDER}\ngpgcheck=0\nmetadata_expire=never\n").as_bytes(),
    );
    fs::create_dir_all(machine.path(FOLDER)).unwrap();
    for (name, content) in packages {
        machine.write(&format!("{FOLDER}/{name}"), content);
    }
    machine.write("srv/system.spec", SYSTEM.as_bytes());
    let (top, out) = ("_topdir /tmp/rpmbuild", format!("_rpmdir /{FOLDER}"));
    machine.prepare(&["rpmbuild", "-bb", "--quiet", "--define", top, "--define", &out, "/srv/system.spec"]);
    run("createrepo_c", &["--quiet", machine.path(FOLDER).to_str().unwrap()]);
    machine.prepare(&["rpm", "-U", &format!("/{FOLDER}/noarch/system-of-the-test-1-1.noarch.rpm")]);
}
