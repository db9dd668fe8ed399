//! Amazon Linux: `.rpm` packages, dnf or yum, and rpm. The root is Debian's with the real dnf and rpm, since no
//! registry has Amazon's own; scriptlets, dependencies and the package data base are real.

use super::command::run;
use super::group::{Group, Kind};
use super::needs;

const AL2023: &str = "ID=\"amzn\"\nVERSION_ID=\"2023\"\nPRETTY_NAME=\"Amazon Linux of a test\"\n";
const AL2: &str = "ID=\"amzn\"\nVERSION_ID=\"2\"\nPRETTY_NAME=\"Amazon Linux of a test\"\n";

/// What the packages of a test depend on, as files that are there already.
const SYSTEM_SPEC: &str = "Name: system-of-the-test\nVersion: 1\nRelease: 1\nSummary: of a test\nLicense: Apache-2.0\n\
    BuildArch: noarch\nProvides: /bin/sh\nProvides: system-release\n%description\nof a test\n%files\n";

#[tokio::test(flavor = "multi_thread")]
async fn instance_of_amazon_linux_2023_lives_by_dnf() {
    if !needs::met("bootstrap on Amazon Linux 2023", &[needs::SYSTEM, needs::RPM]) {
        return;
    }
    let mut group = Group::new("rpm-dnf", AL2023, Kind::Rpm, "dnf install -y --nogpgcheck").await;
    prepare(&group);
    group.live().await;
    assert_installed(&group);
}

#[tokio::test(flavor = "multi_thread")]
async fn instance_of_amazon_linux_2_lives_by_yum() {
    if !needs::met("bootstrap on Amazon Linux 2", &[needs::SYSTEM, needs::RPM]) {
        return;
    }
    let mut group = Group::new("rpm-yum", AL2, Kind::Rpm, "rpm -U").await;
    prepare(&group);
    group.machine.prepare(&["ln", "-sf", "dnf-3", "/usr/bin/yum"]);
    group.live().await;
    assert_installed(&group);
}

/// Gives the machine a package data base and one local repository.
fn prepare(group: &Group) {
    let machine = &group.machine;
    machine.write("etc/rpm/macros", b"%_dbpath /var/lib/rpm\n");
    machine.write(
        "etc/yum.repos.d/local.repo",
        b"[local]\nname=local\nbaseurl=file:///srv/repository\ngpgcheck=0\nmetadata_expire=never\n",
    );
    machine.write("srv/system.spec", SYSTEM_SPEC.as_bytes());
    machine.prepare(&[
        "rpmbuild",
        "-bb",
        "--quiet",
        "--define",
        "_topdir /tmp/rpmbuild",
        "--define",
        "_rpmdir /srv/repository",
        "/srv/system.spec",
    ]);
    run("createrepo_c", &["--quiet", machine.path("srv/repository").to_str().unwrap()]);
    machine.prepare(&["rpm", "-U", "/srv/repository/noarch/system-of-the-test-1-1.noarch.rpm"]);
}

fn assert_installed(group: &Group) {
    let versions =
        group.machine.run(&["rpm", "-q", "--qf", "%{VERSION} ", "pitcrew", "amazon-ssm-agent", "codedeploy-agent"]);
    assert_eq!(String::from_utf8_lossy(&versions.stdout), "0.1.0 3.3.3050.0 2.0.1 ");
}
