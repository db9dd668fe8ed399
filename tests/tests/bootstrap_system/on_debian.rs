//! Debian: `.deb` packages, apt and dpkg.

use pitcrew_plan::journal::{Failure, Outcome};

use super::group::{Group, Kind};
use super::needs;

const OS_RELEASE: &str = "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian of a test\"\n";
const INSTALL: &str = "apt-get install -y";

#[tokio::test(flavor = "multi_thread")]
async fn instance_lives_through_first_boot_rerun_reboot_and_a_new_id() {
    if !needs::met("bootstrap on Debian", &[needs::SYSTEM, needs::DEB]) {
        return;
    }
    let mut group = Group::new("deb-life", OS_RELEASE, Kind::Deb, INSTALL).await;
    group.live().await;
    for package in ["pitcrew", "amazon-ssm-agent", "codedeploy-agent"] {
        let status = group.machine.run(&["dpkg-query", "-W", "-f", "${Status}", package]);
        assert_eq!(String::from_utf8_lossy(&status.stdout), "install ok installed", "{package}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn appended_script_runs_after_the_tags_and_sees_that_all_went_well() {
    if !needs::met("an appended script", &[needs::SYSTEM, needs::DEB]) {
        return;
    }
    let mut group = Group::new("deb-append", OS_RELEASE, Kind::Deb, INSTALL).await;
    group.launch(Some("#!/bin/sh\necho \"status $PITCREW_BOOTSTRAP_STATUS, 준비됨\" >/var/lib/appended-ran\n")).await;
    assert_eq!(group.machine.read("var/lib/appended-ran"), "status 0, 준비됨\n", "{}", group.machine.story());
    group.assert_tagged(&[super::world::INSTANCE]);
}

#[tokio::test(flavor = "multi_thread")]
async fn appended_boothook_makes_it_mime_and_both_parts_run() {
    if !needs::met("an appended boothook", &[needs::SYSTEM, needs::DEB]) {
        return;
    }
    let mut group = Group::new("deb-mime", OS_RELEASE, Kind::Deb, INSTALL).await;
    group.launch(Some("#cloud-boothook\n#!/bin/sh\necho early >/var/lib/boothook-ran\n")).await;
    assert_eq!(group.machine.read("var/lib/boothook-ran"), "early\n", "{}", group.machine.story());
    group.assert_tagged(&[super::world::INSTANCE]);
}

#[tokio::test(flavor = "multi_thread")]
async fn altered_package_is_not_installed_and_no_ready_tag_is_set() {
    if !needs::met("an altered package", &[needs::SYSTEM, needs::DEB]) {
        return;
    }
    let mut group = Group::new("deb-altered", OS_RELEASE, Kind::Deb, INSTALL).await;
    group.world.put("packages/pitcrew.deb", b"not what was pinned".to_vec());
    group.launch(None).await;
    let story = group.story();
    assert!(story.contains(&("pitcrew".to_owned(), Outcome::Failed(Failure::Digest))), "{}", group.machine.story());
    assert!(!group.machine.is_active("pitcrew"));
    assert!(group.machine.is_active("amazon-ssm-agent"), "the way in to repair it is there");
    group.world.with(|state| {
        let tags: Vec<_> = state.tagged.iter().map(|form| (&*form["Tag.1.Key"], &*form["Tag.1.Value"])).collect();
        assert_eq!(tags, [("pitcrew:bootstrap", "failed:digest")]);
    });
    let result = String::from_utf8(group.machine.run(&["cat", "/run/cloud-init/result.json"]).stdout).unwrap();
    assert!(result.contains("failures (part-001)"), "cloud-init says so as well: {result}");
}
