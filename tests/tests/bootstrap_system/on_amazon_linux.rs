//! Amazon Linux: `.rpm` packages, dnf or yum, and rpm. The root is Debian's with the real dnf and rpm, since no
//! registry has Amazon's own; scriptlets, dependencies and the package data base are real.

use super::group::{Group, Kind};
use pitcrew_tests::{needs, repository};

const AL2023: &str = "ID=\"amzn\"\nVERSION_ID=\"2023\"\nPRETTY_NAME=\"Amazon Linux of a test\"\n";
const AL2: &str = "ID=\"amzn\"\nVERSION_ID=\"2\"\nPRETTY_NAME=\"Amazon Linux of a test\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn instance_of_amazon_linux_2023_lives_by_dnf() {
    if !needs::met("bootstrap on Amazon Linux 2023", &[needs::SYSTEM, needs::RPM]) {
        return;
    }
    let mut group = Group::new("rpm-dnf", AL2023, Kind::Rpm, "dnf install -y --nogpgcheck").await;
    repository::prepare(&group.machine, &[]);
    group.live().await;
    assert_installed(&group);
}

#[tokio::test(flavor = "multi_thread")]
async fn instance_of_amazon_linux_2_lives_by_yum() {
    if !needs::met("bootstrap on Amazon Linux 2", &[needs::SYSTEM, needs::RPM]) {
        return;
    }
    let mut group = Group::new("rpm-yum", AL2, Kind::Rpm, "rpm -U").await;
    repository::prepare(&group.machine, &[]);
    group.machine.prepare(&["ln", "-sf", "dnf-3", "/usr/bin/yum"]);
    group.live().await;
    assert_installed(&group);
}

fn assert_installed(group: &Group) {
    let versions =
        group.machine.output(&["rpm", "-q", "--qf", "%{VERSION} ", "pitcrew", "amazon-ssm-agent", "codedeploy-agent"]);
    assert_eq!(String::from_utf8_lossy(&versions.stdout), "0.1.0 3.3.3050.0 2.0.1 ");
}
